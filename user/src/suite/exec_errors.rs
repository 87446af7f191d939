//! What execve and execveat refuse, and the limits of arguments.

use std::ffi::{CStr, CString};

use libc::{AT_FDCWD, AT_SYMLINK_NOFOLLOW};

use super::elf::Image;
use super::exec::{argc_program, try_exec};
use super::support::{PAGE, Status, child, exec, in_child, vector};
use crate::sys::Errno;
use crate::{fails, ok};

super::area!("exec_errors":
    missing_file,
    not_executable_file,
    directory_is_not_executable,
    path_through_a_file,
    symlink_loop,
    name_too_long,
    empty_path,
    bad_pointers,
    one_argument_too_long,
    too_many_arguments,
    large_arguments_arrive,
    stack_limit_bounds_arguments,
    execveat_flags,
);

fn missing_file() {
    assert_eq!(try_exec(c"missing"), Err(Errno::ENOENT));
    assert_eq!(try_exec(c"/no/such/path"), Err(Errno::ENOENT));
}

fn not_executable_file() {
    let path = Image::new().save("program");
    ok!(SYS_chmod, path.as_c_str(), 0o644);
    assert_eq!(try_exec(&path), Err(Errno::EACCES), "not even root");
    ok!(SYS_chmod, path.as_c_str(), 0o100);
    let child = child(|| {
        try_exec(&path).unwrap();
    });
    assert_eq!(child.status(), Status::Exited(7), "reading it is not needed");
}

fn directory_is_not_executable() {
    assert_eq!(try_exec(c"/"), Err(Errno::EACCES));
    assert_eq!(try_exec(c"."), Err(Errno::EACCES));
    assert_eq!(try_exec(c"/dev/null"), Err(Errno::EACCES));
}

fn path_through_a_file() {
    let path = Image::new().save("program");
    assert_eq!(try_exec(c"program/x"), Err(Errno::ENOTDIR));
    assert_eq!(try_exec(c"program/"), Err(Errno::ENOTDIR));
    drop(path);
}

fn symlink_loop() {
    ok!(SYS_symlink, c"b", c"a");
    ok!(SYS_symlink, c"a", c"b");
    assert_eq!(try_exec(c"a"), Err(Errno::ELOOP));
}

fn name_too_long() {
    let long = CString::new("x".repeat(256)).unwrap();
    assert_eq!(try_exec(&long), Err(Errno::ENAMETOOLONG));
    let longer = CString::new("x/".repeat(2048)).unwrap();
    assert_eq!(try_exec(&longer), Err(Errno::ENAMETOOLONG));
}

fn empty_path() {
    assert_eq!(try_exec(c""), Err(Errno::ENOENT));
    fails!(ENOENT: SYS_execveat, AT_FDCWD, c"", 0, 0, 0);
}

fn bad_pointers() {
    let path = Image::new().save("program");
    fails!(EFAULT: SYS_execve, 8, 0, 0);
    fails!(EFAULT: SYS_execve, path.as_c_str(), 8, 0);
    fails!(EFAULT: SYS_execve, path.as_c_str(), 0, 8);
    fails!(EFAULT: SYS_execve, path.as_c_str(), &[8_usize, 0], 0);
    fails!(EFAULT: SYS_execve, path.as_c_str(), usize::MAX - 4095, 0);
}

fn one_argument_too_long() {
    let program = argc_program();
    // MAX_ARG_STRLEN is 32 pages, the final zero included.
    let fits = CString::new("x".repeat(32 * PAGE - 1)).unwrap();
    let child = child(|| {
        exec(&program, &[c"a", &fits], &[]).unwrap();
    });
    assert_eq!(child.status(), Status::Exited(2));
    let too_long = CString::new("x".repeat(32 * PAGE)).unwrap();
    let vector = vector(&[c"a", &too_long]);
    fails!(E2BIG: SYS_execve, program.as_c_str(), &vector[..], 0);
    fails!(E2BIG: SYS_execve, program.as_c_str(), 0, &vector[..]);
}

fn too_many_arguments() {
    let program = argc_program();
    let string = CString::new("y".repeat(30 * PAGE)).unwrap();
    // 8 MiB of stack allow 2 MiB of strings.
    ok!(SYS_setrlimit, libc::RLIMIT_STACK, &[8_u64 << 20, libc::RLIM_INFINITY]);
    let vector = vector(&[string.as_c_str(); 20]);
    fails!(E2BIG: SYS_execve, program.as_c_str(), &vector[..], 0);
}

fn large_arguments_arrive() {
    let program = argc_program();
    let strings: Vec<CString> =
        (0..200).map(|index| CString::new(format!("{index}").repeat(100)).unwrap()).collect();
    let strings: Vec<&CStr> = strings.iter().map(CString::as_c_str).collect();
    let child = child(|| {
        exec(&program, &strings, &strings).unwrap();
    });
    assert_eq!(child.status(), Status::Exited(200));
}

fn stack_limit_bounds_arguments() {
    let program = argc_program();
    let string = CString::new("z".repeat(20 * PAGE)).unwrap();
    let vector = vector(&[string.as_c_str(); 4]);
    in_child(|| {
        // A quarter of the limit, but never less than 128 KiB.
        ok!(SYS_setrlimit, libc::RLIMIT_STACK, &[512_u64 << 10, 512 << 10]);
        fails!(E2BIG: SYS_execve, program.as_c_str(), &vector[..], 0);
    });
}

fn execveat_flags() {
    let program = Image::new().save("program");
    ok!(SYS_symlink, program.as_c_str(), c"link");
    let arguments = vector(&[c"x"]);
    fails!(ELOOP: SYS_execveat, AT_FDCWD, c"link", &arguments[..], 0, AT_SYMLINK_NOFOLLOW);
    fails!(EINVAL: SYS_execveat, AT_FDCWD, c"link", &arguments[..], 0, 0x4000);
    fails!(EBADF: SYS_execveat, 99, c"link", &arguments[..], 0, 0);
    let file = ok!(SYS_open, program.as_c_str(), libc::O_RDONLY);
    fails!(ENOTDIR: SYS_execveat, file, c"x", &arguments[..], 0, 0);
}
