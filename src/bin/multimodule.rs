//! `multimodule`: the daemon.

use std::sync::Arc;

fn main() {
    tracing_subscriber::fmt().init();
    let mut args = std::env::args().skip(1);
    let mut o = multimodule::daemon::DaemonOptions {
        control_queue: multimodule::name::QueueName::new("MultiModule_control").expect("n"),
        prefixes: vec![],
        config: None,
        state_dir: "state".into(),
        transit_dir: None,
        set_level: Arc::new(|_| {}),
        lines: None,
    };
    while let Some(a) = args.next() {
        let v = args.next().unwrap_or_default();
        match a.as_str() {
            "-c" => o.config = Some(v.into()),
            "-p" => o.prefixes = vec![v],
            "-s" => o.state_dir = v.into(),
            "-T" => o.transit_dir = Some(v.into()),
            _ => {}
        }
    }
    let r = multimodule::daemon::run(o, multimodule::tasks::registry().expect("r"));
    if let Err(e) = r {
        eprintln!("{e}");
        std::process::exit(1);
    }
}
