//! Faults that no guard catches: they end the process, or never end.
//!
//! For tests of isolation alone. Only a worker process survives them, as a message.
#![allow(unsafe_code)]

use std::{
    hint::black_box,
    io::{self, Write},
    process, ptr, thread,
};

use crate::config::Fault;

/// Does what the fault says, if it is one of these.
pub(crate) fn crash(fault: Fault) {
    match fault {
        Fault::Abort => process::abort(),
        Fault::Segfault => segfault(),
        Fault::StackOverflow => drop(black_box(overflow(1))),
        Fault::Exit => process::exit(0),
        Fault::Allocate => allocate(),
        Fault::Spin => spin(),
        Fault::Hang => hang(),
        Fault::Print => print(),
        _ => {}
    }
}

/// Does nothing any more.
pub(crate) fn hang() -> ! {
    loop {
        thread::park();
    }
}

/// Says first which process it is, so that a test can see what becomes of it.
fn spin() {
    drop(writeln!(io::stderr(), "spinning in process {}", process::id()));
    loop {
        std::hint::spin_loop();
    }
}

fn segfault() {
    // SAFETY: none. This is the fault: the first page of a process is never mapped. Not address zero
    // itself, which is checked in debug builds, and would end the process in another way.
    unsafe { ptr::without_provenance_mut::<u8>(8).write_volatile(1) }
}

fn overflow(depth: u64) -> u64 {
    let room = black_box([depth; 1024]);
    let below = if black_box(true) { overflow(depth + 1) } else { 0 };
    below + room[1000]
}

fn allocate() {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 16 << 20]));
    }
}

/// Prints without the macros, which the test harness would catch.
fn print() {
    let frame = b"\x0d\0\0\0\0\0\0\0\0\0\0\0{\"do\":\"done\"}\n\xff\xfe\x1b[2J";
    for _ in 0..10_000 {
        // What becomes of it is not this plugin's concern.
        drop(io::stdout().write_all(frame));
    }
    drop(io::stdout().flush());
}
