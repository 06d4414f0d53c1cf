//! Tests of the metrics, the thresholds and the judge together.

use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn cpus(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn levels(written: &[(&str, f64)]) -> Vec<Level> {
    written.iter().map(|(name, threshold)| Level { name: (*name).to_owned(), threshold: *threshold }).collect()
}

/// The thresholds of four processors, but those of the CPU, and but windows of 3 s and 6 s.
fn thresholds(said: Override) -> Thresholds {
    let windows = Windows::new(Duration::from_secs(3), Duration::from_secs(6)).unwrap();
    let mut overrides = Overrides::default();
    overrides.windows = windows;
    overrides.insert(Metric::CpuOneCore, said).unwrap();
    Thresholds::new(cpus(4), &overrides)
}

/// The usual levels, and what stops a task.
fn usual() -> Override {
    Override::default()
}

/// What is told of CPU readings once a second, from second `from` on.
fn told_from(judge: &mut Judge, from: u64, values: &[f64], thresholds: &Thresholds) -> Vec<String> {
    let mut told = Vec::new();
    for (second, value) in (from..).zip(values) {
        let verdicts = judge.next(second * 1000, Metric::CpuOneCore, *value, thresholds);
        told.extend(verdicts.into_iter().map(|verdict| match verdict {
            Verdict::Alert(alert) => format!("{second} {}", alert.summary),
            Verdict::Failsafe(trip) => format!("{second} stop {}", trip.summary),
        }));
    }
    told
}

fn told(values: &[f64], thresholds: &Thresholds) -> Vec<String> {
    told_from(&mut Judge::new("T", Subject::External), 0, values, thresholds)
}

/// Name, levels, and whether it stops a task.
type Row = (&'static str, &'static [f64], bool);

#[test]
fn every_metric_has_the_levels_that_are_promised() {
    let rows: [Row; 17] = [
        ("local.cpu.one_core", &[1.4, 1.6, 1.9], true),
        ("local.memory.vss_of_box_physical", &[0.1, 0.15, 0.3], true),
        ("local.handles.fh.count", &[100.0, 150.0, 200.0], true),
        ("local.handles.tasks.count", &[100.0, 150.0, 200.0], true),
        ("local.io.disk.read_bytes", &[4_900_831.0, 8_801_662.0, 18_603_324.0], true),
        ("local.io.disk.write_bytes", &[14_900_831.0, 18_801_662.0, 118_603_324.0], true),
        ("local.queue.bytes_of_max", &[0.6, 0.8, 0.95], false),
        ("local.admin.start.external", &[0.01, 0.1, 0.2], true),
        ("local.admin.task_compile_failure.internal", &[0.01, 0.1], false),
        ("local.admin.task_compile_failure.external", &[0.01, 0.1], false),
        ("local.admin.task_message_failure", &[0.01, 0.1], false),
        ("local.admin.emit_messages", &[10_000.0, 20_000.0], false),
        ("local.admin.passed_messages", &[10_000.0, 20_000.0], false),
        ("local.admin.stop.internal", &[], false),
        ("local.admin.stop_request.external", &[], false),
        ("local.admin.start_request.internal", &[], false),
        ("local.admin.start_request.external", &[], false),
    ];
    assert_eq!(rows.map(|row| Metric::by_name(row.0)), Metric::ALL.map(Some));
    let thresholds = Thresholds::defaults(cpus(2));
    for (name, expected, can_failsafe) in rows {
        let rule = thresholds.rule(Metric::by_name(name).unwrap());
        let names: Vec<_> = rule.levels().iter().map(|level| level.name.as_str()).collect();
        let found: Vec<_> = rule.levels().iter().map(|level| level.threshold).collect();
        assert_eq!(names, ["warn", "severe", "failsafe"][..expected.len()], "{name}");
        assert_eq!((&found[..], rule.can_failsafe()), (expected, can_failsafe), "{name}");
        assert_eq!((rule.hold(), rule.fast()), (None, false), "{name}");
    }
    let windows = Window::ALL.map(|window| (window.name(), thresholds.windows().length(window).as_secs()));
    assert_eq!(windows, [("one_minute", 60), ("five_minutes", 300)]);
}

#[test]
fn the_levels_of_the_cpu_can_be_reached_on_every_machine() {
    for (count, expected) in [(1, [0.7, 0.8, 0.95]), (2, [1.4, 1.6, 1.9]), (64, [1.4, 1.6, 1.9])] {
        let thresholds = Thresholds::defaults(cpus(count));
        let found = thresholds.rule(Metric::CpuOneCore).levels().iter().map(|level| level.threshold);
        for (found, expected) in found.zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{count} processors: {found}");
        }
    }
}

#[test]
fn what_a_config_says_of_a_metric_replaces_its_default_and_no_other() {
    let said = levels(&[("busy", 0.5), ("failsafe", 0.9)]);
    let usual_levels = Thresholds::defaults(cpus(4)).rule(Metric::CpuOneCore).levels().to_vec();
    let cases = [
        (Override { levels: Some(said.clone()), ..usual() }, said.clone(), false),
        (Override { levels: Some(said.clone()), can_failsafe: Some(true), ..usual() }, said, true),
        (Override { levels: Some(Vec::new()), ..usual() }, Vec::new(), false),
        (Override { fast: true, ..usual() }, usual_levels.clone(), true),
        (Override { can_failsafe: Some(false), ..usual() }, usual_levels, false),
    ];
    for (said, levels, can_failsafe) in cases {
        let found = thresholds(said.clone());
        let rule = found.rule(Metric::CpuOneCore);
        assert_eq!((rule.levels(), rule.can_failsafe(), rule.fast()), (&levels[..], can_failsafe, said.fast));
        for metric in Metric::ALL.into_iter().filter(|metric| *metric != Metric::CpuOneCore) {
            assert_eq!(found.rule(metric), Thresholds::defaults(cpus(4)).rule(metric));
        }
    }
}

#[test]
fn windows_that_make_no_sense_are_refused() {
    let told = |one: u64, five: u64| {
        let windows = Windows::new(Duration::from_millis(one), Duration::from_millis(five));
        windows.err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let short = "a window is at least 3 s long: an average takes three readings, and there is one a second";
    assert_eq!(told(2999, 0), [short, short]);
    assert_eq!(told(6000, 3000), ["one_minute is longer than five_minutes"]);
    assert_eq!(told(3000, 3000), [""; 0]);
}

#[test]
fn an_alert_goes_out_when_a_level_changes_and_once_for_each_window() {
    let off = thresholds(Override { can_failsafe: Some(false), ..usual() });
    let values = [0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let expected = [
        "5 one_minute: T:local.cpu.one_core: 2 (1.9) is failsafe",
        "7 five_minutes: T:local.cpu.one_core: 1.667 (1.6) is severe",
        "8 five_minutes: T:local.cpu.one_core: 2 (1.9) is failsafe",
        "10 one_minute: T:local.cpu.one_core: 1.333 (1.4) is ok",
        "10 five_minutes: T:local.cpu.one_core: 1.667 (1.6) is severe",
        "11 five_minutes: T:local.cpu.one_core: 1.333 (1.4) is ok",
    ];
    assert_eq!(told(&values, &off), expected);
}

#[test]
fn a_task_is_stopped_once_when_an_average_reaches_failsafe() {
    let judge = &mut Judge::new("T", Subject::External);
    let usual = thresholds(usual());
    let found = told_from(judge, 0, &[2.0; 20], &usual);
    let expected = [
        "2 one_minute: T:local.cpu.one_core: 2 (1.9) is failsafe",
        "2 stop one_minute: T:local.cpu.one_core: 2 (1.9) is failsafe",
        "3 five_minutes: T:local.cpu.one_core: 2 (1.9) is failsafe",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_stopped_tasks_old_readings_do_not_trip_it_again_and_new_ones_do() {
    let judge = &mut Judge::new("T", Subject::External);
    let usual = thresholds(usual());
    told_from(judge, 0, &[2.0; 10], &usual);
    judge.forget(Metric::CpuOneCore);
    assert_eq!(judge.level(Metric::CpuOneCore, Window::OneMinute), "failsafe");
    let calm = told_from(judge, 10, &[0.0; 4], &usual);
    let expected =
        ["12 one_minute: T:local.cpu.one_core: 0 (1.4) is ok", "13 five_minutes: T:local.cpu.one_core: 0 (1.4) is ok"];
    assert_eq!(calm, expected);
    judge.forget(Metric::CpuOneCore);
    assert!(told_from(judge, 14, &[2.0; 3], &usual).iter().any(|line| line.contains("stop")));
}

#[test]
fn one_spike_stops_nobody_unless_one_reading_is_enough() {
    let values = [0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0];
    assert_eq!(told(&values, &thresholds(usual())), [""; 0]);
    let fast = thresholds(Override { fast: true, ..usual() });
    assert_eq!(told(&values, &fast), ["4 stop reading: T:local.cpu.one_core: 3 (1.9) is failsafe"]);
    assert_eq!(told(&[1.9], &fast), ["0 stop reading: T:local.cpu.one_core: 1.9 (1.9) is failsafe"]);
}

#[test]
fn a_level_that_must_hold_trips_only_when_no_reading_was_below_it_for_so_long() {
    let stops = |values: &[f64], said: Override| {
        let lines = told(values, &thresholds(said));
        lines.into_iter().filter(|line| line.contains("stop")).collect::<Vec<_>>()
    };
    let hold = || Override { hold: Some(Duration::from_secs(5)), ..usual() };
    assert_eq!(stops(&[2.0; 6], hold()), ["5 stop one_minute: T:local.cpu.one_core: 2 (1.9) is failsafe"]);
    // The average stays above all the time; one reading does not.
    let values = [9.0, 9.0, 9.0, 9.0, 1.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0];
    assert_eq!(stops(&values[..10], hold()), [""; 0]);
    assert_eq!(stops(&values, hold()), ["10 stop one_minute: T:local.cpu.one_core: 9 (1.9) is failsafe"]);
    // Readings alone, but as many as that takes.
    let both = Override { fast: true, ..hold() };
    assert_eq!(
        stops(&[0.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0], both),
        ["6 stop reading: T:local.cpu.one_core: 2 (1.9) is failsafe"]
    );
}

#[test]
fn a_trip_carries_its_evidence() {
    let (mut judge, usual) = (Judge::new("T", Subject::Internal), thresholds(usual()));
    let mut verdicts = (0..40).map(|second| {
        let value = if second < 37 { 0.5 } else { 5.0 };
        judge.next(second * 1000, Metric::CpuOneCore, value, &usual)
    });
    let is_trip = |verdict: &Verdict| matches!(verdict, Verdict::Failsafe(_));
    let verdicts = verdicts.find(|verdicts| verdicts.iter().any(is_trip)).unwrap();
    let Some(Verdict::Failsafe(trip)) = verdicts.last() else { panic!("{verdicts:?}") };
    assert_eq!(
        (trip.name.as_str(), trip.basis, trip.metric),
        ("T", Basis::Average(Window::OneMinute), Metric::CpuOneCore)
    );
    assert_eq!((trip.value, trip.threshold, trip.held_ms), (2.0, 1.9, 0));
    assert_eq!((trip.readings.len(), trip.readings[0].at_ms), (30, 8_000));
    let last = trip.readings.last().unwrap();
    assert_eq!((last.at_ms, last.value), (37_000, 5.0));
    let json = serde_json::to_string(trip).unwrap();
    assert!(
        json.starts_with(r#"{"name":"T","basis":"one_minute","metric":"local.cpu.one_core","value":2.0,"#),
        "{json}"
    );
}

#[test]
fn the_daemon_raises_alerts_and_is_never_stopped() {
    let mut judge = Judge::new("main", Subject::Daemon);
    let fast = thresholds(Override { fast: true, ..usual() });
    let found = told_from(&mut judge, 0, &[5.0; 10], &fast);
    assert_eq!(
        found,
        [
            "2 one_minute: main:local.cpu.one_core: 5 (1.9) is failsafe",
            "3 five_minutes: main:local.cpu.one_core: 5 (1.9) is failsafe"
        ]
    );
}

#[test]
fn new_thresholds_hold_from_the_next_reading_on() {
    let judge = &mut Judge::new("T", Subject::External);
    assert_eq!(told_from(judge, 0, &[1.0; 10], &thresholds(usual())), [""; 0]);
    let lower = Override { levels: Some(levels(&[("high", 0.5)])), ..usual() };
    let high = told_from(judge, 10, &[1.0], &thresholds(lower));
    assert_eq!(
        high,
        [
            "10 one_minute: T:local.cpu.one_core: 1 (0.5) is high",
            "10 five_minutes: T:local.cpu.one_core: 1 (0.5) is high"
        ]
    );
    let none = Override { levels: Some(Vec::new()), ..usual() };
    let gone = told_from(judge, 11, &[1.0; 3], &thresholds(none));
    assert_eq!(
        gone,
        ["11 one_minute: T:local.cpu.one_core: 1 (0.5) is ok", "11 five_minutes: T:local.cpu.one_core: 1 (0.5) is ok"]
    );
}

#[test]
fn a_metric_of_others_and_a_value_that_is_none_are_passed_over() {
    let (mut judge, usual) = (Judge::new("T", Subject::Internal), thresholds(usual()));
    for second in 0..10 {
        for (metric, value) in
            [(Metric::MemoryOfPhysical, 9.0), (Metric::CpuOneCore, f64::NAN), (Metric::InternalStops, 9.0)]
        {
            assert_eq!(judge.next(second * 1000, metric, value, &usual), []);
        }
    }
}

#[test]
fn a_rate_per_minute_is_sixty_times_that_per_second() {
    assert_eq!((Metric::EmittedMessages.of_rate(2.0), Metric::MessageFailures.of_rate(2.0)), (120.0, 2.0));
}

/// Thresholds of any sense.
fn any_override() -> impl Strategy<Value = Override> {
    let steps = vec(0.1_f64..1.0, 0..4);
    let hold = proptest::option::of((1_u64..10).prop_map(Duration::from_secs));
    (steps, any::<bool>(), hold, any::<bool>()).prop_map(|(steps, can_failsafe, hold, fast)| {
        let mut threshold = 0.0;
        let mut levels: Vec<_> = (0..)
            .zip(&steps)
            .map(|(index, step)| {
                threshold += step;
                Level { name: format!("level {index}"), threshold }
            })
            .collect();
        if let Some(last) = levels.last_mut() {
            FAILSAFE.clone_into(&mut last.name);
        }
        let can_failsafe = Some(can_failsafe && !levels.is_empty());
        Override { levels: Some(levels), can_failsafe, hold, fast }
    })
}

proptest! {
    #[test]
    fn alerts_follow_the_levels_and_trips_have_their_reason(
        said in any_override(), values in vec(select(vec![0.0, 0.3, 0.8, 1.5, 4.0]), 1..60),
    ) {
        let thresholds = thresholds(said.clone());
        let rule = thresholds.rule(Metric::CpuOneCore);
        let mut judge = Judge::new("T", Subject::External);
        let mut held = [OK; 2].map(str::to_owned);
        let mut above = 0;
        for (second, value) in (0_u64..).zip(&values) {
            above = if rule.failsafe_threshold().is_some_and(|threshold| *value >= threshold) { above + 1 } else { 0 };
            for verdict in judge.next(second * 1000, Metric::CpuOneCore, *value, &thresholds) {
                match verdict {
                    Verdict::Alert(alert) => {
                        let reached = rule.level_of(alert.value).map_or(OK, |level| &level.name);
                        prop_assert_eq!(&alert.level, reached);
                        prop_assert_ne!(&alert.level, &held[alert.window as usize], "no change");
                        held[alert.window as usize] = alert.level;
                    }
                    Verdict::Failsafe(trip) => {
                        prop_assert!(rule.can_failsafe() && trip.value >= rule.failsafe_threshold().unwrap());
                        prop_assert!(trip.basis != Basis::Reading || rule.fast());
                        prop_assert!(rule.hold().is_none_or(|hold| above > hold.as_secs()));
                        judge.forget(Metric::CpuOneCore);
                    }
                }
            }
            for window in Window::ALL {
                prop_assert_eq!(judge.level(Metric::CpuOneCore, window), &held[window as usize]);
            }
        }
    }
}
