//! How much is said: the level of `-d`, and the filters of `MULTIMODULE_LOG` and `RUST_LOG`.

use tracing_subscriber::filter::{ParseError, Targets};

/// The filter of a level: 0 what a user needs, 1 what helps with a config, 2 and more what helps with MultiModule
/// itself. Other crates are asked for what a user needs only; a filter from the environment can ask for more.
pub(super) fn of_level(level: u32) -> Targets {
    directives(level).parse().expect("our own directives are some")
}

/// The filter of a level, refined by directives as in `RUST_LOG` (`multimodule::router=trace,warn`).
pub(super) fn refined(level: u32, directives: &str) -> Result<Targets, ParseError> {
    format!("{},{directives}", self::directives(level)).parse()
}

fn directives(level: u32) -> &'static str {
    match level {
        0 => "info",
        1 => "info,multimodule=debug",
        _ => "info,multimodule=trace",
    }
}

/// The directives of the environment: `MULTIMODULE_LOG`, else `RUST_LOG`; the empty text counts as unset.
pub(super) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Option<(&'static str, String)> {
    let set = |name: &'static str| variable(name).filter(|value| !value.trim().is_empty()).map(|value| (name, value));
    set("MULTIMODULE_LOG").or_else(|| set("RUST_LOG"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt;

    use super::super::layer::ChannelLayer;
    use super::super::outlet::tests::{Memory, bench};
    use super::*;

    fn check(filter: Targets, expected: &str) {
        let bench = bench("log:1,error:1,debug:1", Memory::default());
        let layer = ChannelLayer::new(Arc::new(bench.outlet));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter).with(layer), || {
            tracing::info!("i");
            tracing::debug!("d");
            tracing::trace!("t");
            tracing::debug!(target: "elsewhere", "e");
        });
        let said: String = bench.stdout.text().lines().filter_map(|line| line.chars().last()).collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn a_level_says_how_much_is_said() {
        check(of_level(0), "i");
        check(of_level(1), "id");
        check(of_level(2), "idt");
        check(of_level(9), "idt");
    }

    #[test]
    fn directives_refine_a_level() {
        check(refined(0, "multimodule::channel=debug").unwrap(), "id");
        check(refined(0, "elsewhere=debug").unwrap(), "ie");
        check(refined(1, "error").unwrap(), "id");
        assert!(refined(0, "multimodule=loud").is_err());
    }

    #[test]
    fn our_own_variable_goes_before_that_of_everybody() {
        let check = |variables: &[(&str, &str)], expected: Option<(&'static str, &str)>| {
            let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            assert_eq!(from_environment(variable), expected.map(|(name, value)| (name, value.to_owned())));
        };
        check(&[], None);
        check(&[("RUST_LOG", "debug")], Some(("RUST_LOG", "debug")));
        check(&[("RUST_LOG", "debug"), ("MULTIMODULE_LOG", "warn")], Some(("MULTIMODULE_LOG", "warn")));
        check(&[("RUST_LOG", "debug"), ("MULTIMODULE_LOG", " ")], Some(("RUST_LOG", "debug")));
    }
}
