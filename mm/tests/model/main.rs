//! Random operations on several spaces, on several CPUs with stale TLBs, against a plain model: for each process a map
//! from page to byte. After every step all counts, sums and write bits are audited; while interrupts are under way, all TLBs;
//! at the end no frame may be lost.

#[path = "../common/mod.rs"]
mod common;
mod operations;
mod steps;
mod world;

use common::{Machine, cases};
use steps::{Step, steps};
use world::World;

fn run(machine: &Machine, steps: Vec<Step>) {
    let mut world = World::new(machine);
    for step in steps {
        world.apply(step);
        world.audit();
    }
    world.sweep();
    world.audit();
    drop(world);
    machine.assert_all_free();
}

#[test]
fn spaces_behave_like_maps_of_bytes() {
    let machine = Machine::new(8 << 20);
    cases::check("without identifiers", &steps(), |steps| run(&machine, steps));
}

#[test]
fn spaces_behave_like_maps_of_bytes_with_pcids() {
    let machine = Machine::new(8 << 20);
    arch::tlb::enable_pcids();
    cases::check("with identifiers", &steps(), |steps| run(&machine, steps));
}
