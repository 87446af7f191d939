//! Laws of the classes above the fair one: what real-time tasks leave to others, when deadline tasks get their next period, and
//! where those wait who have to.
#![cfg(not(loom))]

mod machine;

use arch::time::Nanos;
use sched::{Discipline, Nice, Parameters, RealTimeLimit, Reservation};

use machine::Machine;

fn fifo(priority: u8) -> Parameters {
    Parameters { discipline: Discipline::Fifo, priority, ..Parameters::DEFAULT }
}

fn deadline(runtime: Nanos, period: Nanos) -> Parameters {
    let reservation = Reservation { runtime, deadline: period, period };
    Parameters { discipline: Discipline::Deadline, reservation, ..Parameters::DEFAULT }
}

/// A real-time task that ran alone for long has its share of the first period in which somebody else wants to run, too.
#[test]
fn time_alone_is_not_held_against_a_real_time_task() {
    for alone in [1, 10, 600] {
        let mut machine = Machine::new(1);
        let urgent = machine.spawn(fifo(10), &[0]);
        machine.run_until(Nanos::from_secs(alone));
        let before = machine.run_time(&urgent);
        let fair = machine.spawn(Parameters::DEFAULT, &[0]);
        machine.run_until(Nanos::from_secs(alone + 1));
        let ran = machine.run_time(&urgent).saturating_sub(before);
        assert!(ran >= Nanos::from_millis(945), "{ran:?} of the second after {alone} s alone");
        machine.run_until(Nanos::from_secs(alone + 4));
        let share = machine.run_time(&fair);
        let expected = Nanos::from_millis(190)..=Nanos::from_millis(210);
        assert!(expected.contains(&share), "{share:?} of four seconds");
    }
}

/// A task that wakes with nothing left of its reservation has the CPU as soon as its next period begins, though all that
/// the CPU waits for otherwise is far away.
#[test]
fn a_task_that_wakes_exhausted_runs_from_its_next_period_on() {
    let mut machine = Machine::new(1);
    let parameters = deadline(Nanos::from_millis(1), Nanos::from_millis(10));
    let task = machine.make(Parameters::DEFAULT, &[0]);
    let changed =
        machine.scheduler.set_parameters(&task, parameters, machine.now, arch::cpu::CpuId::BOOT);
    machine.carry_out(changed.expect("there is room"), 0);
    let start = machine.now;
    let resched = machine.scheduler.spawn(&task, start, arch::cpu::CpuId::BOOT);
    machine.carry_out(resched, 0);
    machine.settle();
    machine.spawn(fifo(10), &[0]);
    machine.spawn(fifo(10), &[0]);
    machine.now = start.saturating_add(Nanos::from_millis(1));
    machine.block(0);
    assert_eq!(machine.place_of(&task), None);
    machine.now = start.saturating_add(Nanos::from_millis(2));
    machine.wake(&task);
    assert_eq!(machine.place_of(&task), None, "nothing is left of its reservation");
    machine.run_until(start.saturating_add(Nanos::from_micros(10_100)));
    assert_eq!(machine.place_of(&task), Some(0), "its period began");
}

/// Of those who wait elsewhere a CPU fetches the most urgent that may run there, not only the most urgent of all.
#[test]
fn a_task_that_may_not_move_hides_none_that_may() {
    let mut machine = Machine::new(3);
    machine.spawn(fifo(90), &[0]);
    machine.spawn(fifo(91), &[1]);
    let free = machine.spawn(fifo(92), &[2]);
    // Both wait: the one on the first CPU may nowhere else, the one on the second may use the third.
    machine.spawn(fifo(60), &[0]);
    let waiting = machine.spawn(fifo(50), &[1, 2]);
    assert_eq!(machine.place_of(&waiting), None);
    assert_eq!(machine.place_of(&free), Some(2));
    machine.block(2);
    assert_eq!(machine.place_of(&waiting), Some(2));
}

/// Neither a new nice value nor the same reservation once more gives a task that has used its reservation up more of it.
#[test]
fn a_reservation_is_not_refilled_by_changes_of_something_else() {
    let mut machine = Machine::new(1);
    let parameters = deadline(Nanos::from_millis(2), Nanos::from_millis(20));
    let greedy = machine.make(Parameters::DEFAULT, &[0]);
    let set = |machine: &mut Machine, parameters| {
        let here = arch::cpu::CpuId::BOOT;
        let changed = machine.scheduler.set_parameters(&greedy, parameters, machine.now, here);
        machine.carry_out(changed.expect("there is room"), 0);
        machine.settle();
    };
    set(&mut machine, parameters);
    machine.wake(&greedy);
    machine.spawn(Parameters::DEFAULT, &[0]);
    for micros in 0..4000 {
        machine.run_until(Nanos::from_micros(100 * micros));
        set(&mut machine, Parameters { nice: Nice::clamped((micros % 5) as i32), ..parameters });
    }
    let ran = machine.run_time(&greedy);
    assert!(ran <= Nanos::from_millis(45), "{ran:?} of 400 ms, at 2 of 20");
    // A reservation that is really another begins at once.
    let wider = deadline(Nanos::from_millis(10), Nanos::from_millis(20));
    set(&mut machine, wider);
    let before = machine.run_time(&greedy);
    machine.run_until(Nanos::from_millis(420));
    assert!(machine.run_time(&greedy).saturating_sub(before) >= Nanos::from_millis(9));
}

/// What was reserved is given back once, whatever is done to a task after it has begun to exit.
#[test]
fn a_retired_task_reserves_nothing() {
    let mut machine = Machine::new(1);
    let here = arch::cpu::CpuId::BOOT;
    let half = deadline(Nanos::from_millis(50), Nanos::from_millis(100));
    let now = machine.now;
    let set = |machine: &mut Machine, task: &_, parameters| {
        machine.scheduler.set_parameters(task, parameters, now, here).is_ok()
    };
    let (ending, other) = (machine.make(half, &[0]), machine.make(Parameters::DEFAULT, &[0]));
    assert!(set(&mut machine, &ending, Parameters::DEFAULT));
    assert!(set(&mut machine, &other, half));
    let _ = machine.scheduler.retire(&ending, now, here);
    for parameters in [half, Parameters::DEFAULT, half, Parameters::DEFAULT] {
        assert!(set(&mut machine, &ending, parameters));
    }
    let third = machine.make(Parameters::DEFAULT, &[0]);
    assert!(!set(&mut machine, &third, half), "the other's half is still reserved");
}

/// The limit of real-time tasks does not go below what is reserved.
#[test]
fn what_is_reserved_bounds_the_limit() {
    let machine = Machine::new(2);
    let task = machine.make(Parameters::DEFAULT, &[0, 1]);
    let half = deadline(Nanos::from_millis(50), Nanos::from_millis(100));
    let here = arch::cpu::CpuId::BOOT;
    assert!(machine.scheduler.set_parameters(&task, half, machine.now, here).is_ok());
    let limit = |millis| RealTimeLimit {
        period: Nanos::from_secs(1),
        runtime: Some(Nanos::from_millis(millis)),
    };
    assert!(machine.scheduler.set_real_time_limit(limit(240)).is_err());
    assert_eq!(machine.scheduler.real_time_limit(), RealTimeLimit::DEFAULT);
    assert!(machine.scheduler.set_real_time_limit(limit(260)).is_ok());
}
