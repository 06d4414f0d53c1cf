//! Promises to users, kept by the real binaries. A spec is: a world of its own, input, action, verdict.
//!
//! Nothing here sleeps: a spec waits for the line or the exit that it is about, with a deadline.

#[path = "spec/alerts.rs"]
mod alerts;
#[path = "spec/bad_input.rs"]
mod bad_input;
#[path = "spec/busy_daemon.rs"]
mod busy_daemon;
#[path = "spec/caps.rs"]
mod caps;
#[path = "spec/cgroups.rs"]
mod cgroups;
#[path = "spec/channels.rs"]
mod channels;
#[path = "spec/children.rs"]
mod children;
#[path = "spec/control.rs"]
mod control;
#[path = "spec/control_commands.rs"]
mod control_commands;
#[path = "spec/control_requests.rs"]
mod control_requests;
#[path = "spec/counts.rs"]
mod counts;
#[path = "spec/crowd.rs"]
mod crowd;
#[path = "spec/daemon.rs"]
mod daemon;
#[path = "spec/endings.rs"]
mod endings;
#[path = "spec/exits.rs"]
mod exits;
#[path = "spec/externals.rs"]
mod externals;
#[path = "spec/failures.rs"]
mod failures;
#[path = "spec/flips.rs"]
mod flips;
#[path = "spec/full_disk.rs"]
mod full_disk;
#[path = "spec/handovers.rs"]
mod handovers;
#[path = "spec/harness.rs"]
mod harness;
#[path = "spec/hogs.rs"]
mod hogs;
#[path = "spec/limits.rs"]
mod limits;
#[path = "spec/lines.rs"]
mod lines;
#[path = "spec/logs.rs"]
mod logs;
#[path = "spec/lying_records.rs"]
mod lying_records;
#[path = "spec/mill.rs"]
mod mill;
#[path = "spec/moves.rs"]
mod moves;
#[path = "spec/names_of_hosts.rs"]
mod names_of_hosts;
#[path = "spec/other_versions.rs"]
mod other_versions;
#[path = "spec/own_tasks.rs"]
mod own_tasks;
#[path = "spec/packages.rs"]
mod packages;
#[path = "spec/places.rs"]
mod places;
#[path = "spec/pools.rs"]
mod pools;
#[path = "spec/process_one.rs"]
mod process_one;
#[path = "spec/processes.rs"]
mod processes;
#[path = "spec/queues.rs"]
mod queues;
#[path = "spec/records.rs"]
mod records;
#[path = "spec/reload.rs"]
mod reload;
#[path = "spec/reload_load.rs"]
mod reload_load;
#[path = "spec/reload_outcomes.rs"]
mod reload_outcomes;
#[path = "spec/restarts.rs"]
mod restarts;
#[path = "spec/rough_programs.rs"]
mod rough_programs;
#[path = "spec/rough_tasks.rs"]
mod rough_tasks;
#[path = "spec/secrets.rs"]
mod secrets;
#[path = "spec/shared_process.rs"]
mod shared_process;
#[path = "spec/state.rs"]
mod state;
#[path = "spec/systemd.rs"]
mod systemd;
#[path = "spec/taken_out.rs"]
mod taken_out;
#[path = "spec/transit.rs"]
mod transit;
#[path = "spec/tutorial.rs"]
mod tutorial;
#[path = "spec/upgrades.rs"]
mod upgrades;
#[path = "spec/version_1.rs"]
mod version_1;
#[path = "spec/world.rs"]
mod world;
