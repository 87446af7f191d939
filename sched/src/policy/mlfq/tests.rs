//! Who sinks and who rises.

use super::*;

fn view(id: u64, memory: Memory) -> TaskView {
    TaskView { id: TaskId(id), slot: 0, weight: 1024, batch: false, slice: Nanos::ZERO, memory }
}

/// Lets a task run `millis` on a CPU of its own from `start` on, and returns what is remembered of it.
fn run(start: Nanos, millis: u64) -> Memory {
    let mut cpu = Mlfq::default();
    cpu.enqueue(&view(1, Memory::default()), Event::Spawned);
    assert!(cpu.pick(start).is_some());
    for _ in 0..millis {
        let _ = cpu.tick(Nanos::from_millis(1));
    }
    cpu.leave(Event::MigratedAway)
}

#[test]
fn a_sunk_task_does_not_rise_by_migrating() {
    let start = Nanos::from_millis(10_010);
    let sunk = run(start, 20);
    // To a CPU that has been idle for long, and to one that is as far as the first.
    for former in [Nanos::from_millis(600), start] {
        let mut cpu = Mlfq::default();
        cpu.enqueue(&view(2, Memory::default()), Event::Spawned);
        assert!(cpu.pick(former).is_some());
        let _ = cpu.leave(Event::Blocked);
        cpu.enqueue(&view(1, sunk), Event::Migrated);
        cpu.enqueue(&view(3, Memory::default()), Event::Spawned);
        let now = start.saturating_add(Nanos::from_millis(20));
        let first = cpu.pick(now).map(|pick| pick.task);
        assert_eq!(first, Some(TaskId(3)), "the sunk one goes first");
        let _ = cpu.leave(Event::Blocked);
        let slice = cpu.pick(now).map(|pick| pick.slice);
        assert!(slice > Some(SLICE), "{slice:?} is the top's");
    }
}

#[test]
fn a_boost_lifts_all_that_date_from_before() {
    let sunk = run(Nanos::from_millis(10), 20);
    let mut cpu = Mlfq::default();
    cpu.enqueue(&view(1, sunk), Event::Migrated);
    let slice = cpu.pick(Nanos::from_millis(510)).map(|pick| pick.slice);
    assert_eq!(slice, Some(SLICE));
}
