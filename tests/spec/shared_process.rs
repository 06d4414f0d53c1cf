//! Several tasks in one external process of their own name.

use crate::own_tasks::Heard;
use crate::processes::{kill, parent_session_and_words};
use crate::world::{SOON, World};

const CONFIG: &str = "{ Counter => { process => 'ingest' }, Other => { process => 'ingest' }, \
                      Echo => { process => 'ingest', is_external => 1 }, \
                      Router => { routes => [ { match => { source => 'Counter' }, forwards => [ { qname => 'Other' }, \
                      { qname => 'Echo' } ] } ] } }";

fn heard(world: &World, task: &str) -> Vec<i64> {
    let heard: Heard = ron::from_str(&world.saved_state(task)).expect("a counter's state");
    heard.0.get("a").cloned().unwrap_or_default()
}

#[test]
fn two_stateful_tasks_and_a_stateless_one_share_a_process_and_its_ends() {
    const HALF: i64 = 100;
    let world = World::new();
    let daemon = world.own_daemon(CONFIG).start();
    for started in ["Counter: started", "Other: started", "Echo: started"] {
        daemon.wait_for(started, SOON);
    }
    let record = world.process("ingest");
    let words = parent_session_and_words(record.host.pid).2;
    assert!(words.contains("ingest"), "{words}");
    assert!(["Counter", "Other", "Echo"].iter().all(|name| world.record(name).is_none()), "one process for all");
    (0..HALF).for_each(|n| world.send(&format!("{{from => 'a', n => {n}}}"), "Counter"));
    kill(&record.host_identity());
    (HALF..2 * HALF).for_each(|n| world.send(&format!("{{from => 'a', n => {n}}}"), "Counter"));
    daemon.wait_for(&format!("Counter: has heard {}.", 2 * HALF), SOON);
    daemon.wait_for("Echo: emitted.", SOON);
    assert_ne!(world.process("ingest").host, record.host);
    world.wait_for("end of what waits for Other", || (world.queue("Other")?.messages == 0).then_some(()));
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    assert!(heard(&world, "Counter").into_iter().eq(0..2 * HALF));
    let mut other = heard(&world, "Other");
    // By default what Counter emitted after its last record may come again.
    other.sort_unstable();
    other.dedup();
    assert!(other.into_iter().eq(0..2 * HALF));
}

#[test]
fn a_task_that_leaves_a_shared_process_takes_its_state_along_and_the_others_stay() {
    let world = World::new();
    let daemon = world.own_daemon(CONFIG).start();
    daemon.wait_for("Other: started", SOON);
    world.send("{from => 'a', n => 0}", "Other");
    daemon.wait_for("Other: has heard 1.", SOON);
    let record = world.process("ingest");
    world.write_config(&CONFIG.replace("Other => { process => 'ingest' }", "Other => { label => 'alone' }"));
    daemon.wait_for("Other: started alone", SOON);
    world.send("{from => 'a', n => 1}", "Other");
    daemon.wait_for("Other: has heard 2.", SOON);
    world.process("Other");
    assert_eq!(world.process("ingest"), record);
}
