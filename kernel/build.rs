//! Links the kernel's binary by its own script when it is built for its own target.

fn main() {
    println!("cargo::rerun-if-changed=linker.ld");
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        // Seen from the top level of the workspace, where cargo runs the compiler: a checkout may be moved after it was built.
        println!("cargo::rustc-link-arg-bins=-Tkernel/linker.ld");
        println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
        println!("cargo::rustc-link-arg-bins=--gc-sections");
    }
}
