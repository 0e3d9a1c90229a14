//! Tries whether a place does what the store relies on, by doing it.
//!
//! A server that checks a condition first and writes afterwards hands the same key to two writers now and then;
//! nothing but racing for keys shows that.

use std::{sync::Barrier, thread};

use modelwatch_sdk::{Host, Result, store::DoctorReport};

use crate::{
    blobs::{Blobs, Published},
    random,
};

const N_WRITERS: usize = 8;
const N_KEYS: usize = 20;

/// Returns what a place does right and wrong, as far as trying tells. What was written for it is removed again.
///
/// # Errors
/// When the place cannot be read or written.
pub fn examine(blobs: &dyn Blobs, host: &dyn Host) -> Result<DoctorReport> {
    let folder = format!("doctor/{}", random::id());
    let mut res = DoctorReport::default();
    let tried = examine_in(blobs, host, &folder, &mut res);
    for name in blobs.list(&folder).unwrap_or_default() {
        let _ = blobs.remove(&format!("{folder}/{name}"));
    }
    tried.map(|()| res)
}

fn examine_in(blobs: &dyn Blobs, host: &dyn Host, folder: &str, res: &mut DoctorReport) -> Result<()> {
    let mut several = 0;
    let mut none = 0;
    let mut unread = 0;
    for it in 0..N_KEYS {
        host.progress(it as u64, N_KEYS as u64);
        let key = format!("{folder}/{it:04}");
        let winners = race(blobs, &key)?;
        several += usize::from(winners.len() > 1);
        none += usize::from(winners.is_empty());
        let read = blobs.read(&key, 64)?;
        unread += usize::from(!winners.iter().any(|it| read.as_deref() == Some(content(*it).as_bytes())));
    }
    let mut say = |is_sound: bool, sound: &str, unsound: String| match is_sound {
        true => res.sound.push(sound.to_owned()),
        false => res.unsound.push(unsound),
    };
    say(
        several == 0,
        "a key goes to one writer only",
        format!(
            "{several} of {N_KEYS} keys went to more than one of {N_WRITERS} writers: it has no real put-if-absent"
        ),
    );
    say(none == 0, "a free key goes to someone", format!("{none} of {N_KEYS} free keys went to no writer"));
    say(
        unread == 0,
        "what was written is read at once",
        format!("{unread} of {N_KEYS} keys did not hold what their writer wrote"),
    );
    let listed = blobs.list(folder)?;
    let missing = (0..N_KEYS).filter(|it| !listed.contains(&format!("{it:04}"))).count();
    say(missing == 0, "what was written is listed at once", format!("{missing} of {N_KEYS} keys were not listed"));
    let key = format!("{folder}/0000");
    let whole = blobs.read(&key, 64)?.unwrap_or_default();
    let mut part = vec![0; whole.len().saturating_sub(2)];
    let ranged = blobs.read_at(&key, 1, &mut part);
    let is_right = ranged.is_ok() && whole.get(1..whole.len().saturating_sub(1)) == Some(&part[..]);
    say(is_right, "a range of a file is that range", "a range of a file was something else".to_owned());
    blobs.remove(&key)?;
    let is_gone = blobs.read(&key, 64)?.is_none();
    say(is_gone, "what was removed is gone", "what was removed can still be read".to_owned());
    Ok(())
}

/// Returns who got the key.
fn race(blobs: &dyn Blobs, key: &str) -> Result<Vec<usize>> {
    let start = Barrier::new(N_WRITERS);
    let attempts: Vec<Result<bool>> = thread::scope(|scope| {
        let write = |it: usize| {
            let start = &start;
            scope.spawn(move || {
                let stage = blobs.stage().and_then(|stage| stage.write("try", content(it).as_bytes()).map(|()| stage));
                // Also where staging failed: the others wait.
                start.wait();
                Ok(matches!(stage?.publish("try", key)?, Published::Created))
            })
        };
        let threads: Vec<_> = (0..N_WRITERS).map(write).collect();
        threads.into_iter().map(|it| it.join().expect("a writer does not panic")).collect()
    });
    let mut res = Vec::new();
    for (at, it) in attempts.into_iter().enumerate() {
        if it? {
            res.push(at);
        }
    }
    Ok(res)
}

fn content(writer: usize) -> String {
    format!("writer {writer}")
}
