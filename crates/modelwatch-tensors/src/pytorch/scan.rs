//! Pickles outside an archive: told from other data, and searched for what they would run.
//!
//! What is found is for whoever has to decide; it is not what keeps anything from running, which nothing here can.

use super::walk::{Name, Walk};
use crate::error::{Site, TensorError};

/// What every file of `torch.save` before 1.6 begins with, behind the mark of its protocol.
const LEGACY: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
/// Such a file is five pickles, and the numbers behind them.
const MAX_PICKLES: usize = 5;

/// A pickle, or several in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pickled {
    /// The first name it wants that is not of tensors, and so is code.
    pub wants: Option<String>,
    /// PyTorch wrote it before 1.6.
    pub is_legacy: bool,
}

/// Returns why a pickle outside an archive is not read.
pub(crate) fn refused(site: Site<'_>, bytes: &[u8]) -> TensorError {
    const OUTSIDE: &str = "it is a pickle outside a zip archive";
    match scan(bytes).unwrap_or_default() {
        Pickled { wants: Some(name), .. } => {
            let remedy = "save the state_dict alone with a newer torch.save, or as safetensors";
            site.unsupported(format!("{OUTSIDE} and wants `{name}`, which is code"), remedy)
        }
        Pickled { is_legacy: true, .. } => {
            let remedy = "save it again with a newer torch, by `torch.save(torch.load(path, weights_only=True), path)`, \
                          or as safetensors";
            site.unsupported(format!("{OUTSIDE}, as PyTorch wrote before 1.6"), remedy)
        }
        _ => site.unsupported(OUTSIDE, "save the weights with a newer torch.save, or as safetensors"),
    }
}

/// Returns what a file is that is a pickle; none for other data, also where it begins like one.
pub(crate) fn scan(bytes: &[u8]) -> Option<Pickled> {
    let is_legacy = bytes.get(2..).is_some_and(|it| it.starts_with(LEGACY));
    let mut first: Option<Name> = None;
    let (mut is_pickle, mut rest) = (false, bytes);
    for n_read in 0..MAX_PICKLES {
        let mut walk = Walk::new(rest);
        let is_whole = walk.run(|name| _ = first.get_or_insert(name)).is_some();
        if n_read == 0 {
            is_pickle = match &first {
                // What was called runs for whoever loads it, however the rest of it ends; so does what is marked as a pickle.
                Some(_) if walk.has_called() || has_mark(bytes) => true,
                // Early protocols have no mark, so that a text may be taken for one.
                Some(name) => is_whole && name.is_dotted(),
                None => is_whole && has_mark(bytes),
            };
        }
        rest = walk.rest();
        // Whoever loads the first of them alone never comes to the others.
        if !is_whole || !(has_mark(rest) || is_legacy) {
            break;
        }
    }
    is_pickle.then(|| Pickled { wants: first.map(|it| it.to_string()), is_legacy })
}

/// Returns whether a pickle names, as far as it can be loaded, something of which `is_such` holds for module and name, or makes
/// a name that is not written in it.
pub(super) fn names(bytes: &[u8], is_such: impl Fn(&str, &str) -> bool) -> bool {
    let mut res = false;
    let _ = Walk::new(bytes).run(|name| {
        res |= match &name {
            Name::Written { module, name } => is_such(module, name),
            Name::Made | Name::Numbered => true,
        };
    });
    res
}

fn has_mark(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 0..=5, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(bytes: &[u8]) -> Option<Option<String>> {
        scan(bytes).map(|it| it.wants)
    }

    #[test]
    fn what_a_pickle_would_run_is_named_in_every_protocol() {
        // As `pickle.dumps` writes an object whose `__reduce__` is `os.system` with one text.
        let cases: [&[u8]; 5] = [
            b"cposix\nsystem\np0\n(Vid\np1\ntp2\nRp3\n.",
            b"cposix\nsystem\nq\x00(X\x02\x00\x00\x00idq\x01tq\x02Rq\x03.",
            b"\x80\x02cposix\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.",
            b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
            b"(S'id'\niposix\nsystem\n.",
        ];
        for bytes in cases {
            assert_eq!(wants(bytes), Some(Some("posix.system".to_owned())), "{bytes:?}");
        }
        // A text that comes back from the memo, behind others.
        let shared = b"\x80\x04\x8c\x05posix\x94N\x8c\x06system\x94\x30h\x00h\x01\x93.";
        assert_eq!(wants(shared), Some(Some("posix.system".to_owned())));
        // One that never ends runs all the same.
        assert_eq!(wants(b"\x80\x02cposix\nsystem\n)R"), Some(Some("posix.system".to_owned())));
        assert_eq!(wants(b"\x80\x04N\x8c\x06system\x93."), Some(Some("a name that it makes".to_owned())));
    }

    #[test]
    fn no_way_to_write_a_name_hides_it() {
        let system = Some(Some("posix.system".to_owned()));
        let cases: [&[u8]; 15] = [
            // Escapes, in texts of both kinds.
            b"V\\u0070osix\nVsyste\\U0000006d\n\x93(S'id'\ntR.",
            b"S'\\x70os\\151x'\nS\"syst\\x65m\"\n\x93(S'id'\ntR.",
            // White space around numbers, and digits apart.
            b"cposix\nsystem\np 1\n0g1\r\n(S'id'\ntR.",
            b"cposix\nsystem\np 1_0\n0g\t+10 \n(S'id'\ntR.",
            b"S'posix' \t\nS'system'\n\x93(S'id'\ntR.",
            // Protocols 0 and 1 with a mark, and any other operation in front.
            b"\x80\x00cposix\nsystem\n(S'id'\ntR.",
            b"\x80\x01cposix\nsystem\n(S'id'\ntR.",
            b"N0cposix\nsystem\n(S'id'\ntR.",
            b"\x95\x00\x00\x00\x00\x00\x00\x00\x00cposix\nsystem\n(S'id'\ntR.",
            // What follows it, or breaks it off, comes too late.
            b"cposix\nsystem\n(S'id'\ntR.and more",
            b"cposix\nsystem\n(S'id'\ntR\xff\xff",
            // Every way to call it.
            b"(S'id'\niposix\nsystem\n.",
            b"(cposix\nsystem\nS'id'\no.",
            b"\x80\x02cposix\nsystem\nU\x02id\x85\x81.",
            b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85}\x92.",
        ];
        for bytes in cases {
            assert_eq!(wants(bytes), system, "{}", bytes.escape_ascii());
        }
        // As many values as are followed, and more.
        let mut long = b"\x80\x04".to_vec();
        (0..5_000_000).for_each(|_| long.extend_from_slice(b"N\x94"));
        long.extend_from_slice(b"\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.");
        assert_eq!(wants(&long), system);
        // Names that are long, or odd.
        let long = [b"\x80\x02c".as_slice(), &[b'a'; 300], b"\nb\n)R."].concat();
        assert_eq!(wants(&long), Some(Some(format!("{}…", "a".repeat(200)))));
        assert_eq!(wants(b"\x80\x02cat is\nd\x01g\n)R."), Some(Some("at is.d\\u{1}g".to_owned())));
        // The parts of a file of PyTorch before 1.6 need no mark.
        let legacy = [b"\x80\x02", LEGACY, b".cposix\nsystem\n(S'id'\ntR."].concat();
        assert_eq!(scan(&legacy), Some(Pickled { wants: system.flatten(), is_legacy: true }));
    }

    #[test]
    fn what_cannot_be_loaded_runs_nothing_after_that() {
        let others: [&[u8]; 6] = [
            b"cat\ndog\nsat.\n",
            b"cat\ndog\n0.",
            b"cat\ndog\ng1\n(tR.",
            b"cat\ndog\np1x\n(tR.",
            b"Rcat\ndog\n.",
            b"\xffcposix\nsystem\n(S'id'\ntR.",
        ];
        for bytes in others {
            assert_eq!(wants(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn modules_are_found_behind_other_names() {
        let is_system = |module: &str, _: &str| module == "posix";
        let bytes = b"\x80\x02cbuiltins\nlen\n0V\\x70\n0V\\u0070osix\nVsystem\n\x93.";
        assert!(names(bytes, is_system));
        assert!(!names(b"\x80\x02cbuiltins\nlen\n.", is_system));
        assert!(names(b"\x80\x04N\x8c\x06system\x93.", is_system), "a name that is made may be any");
    }

    #[test]
    fn what_is_no_pickle_is_not_taken_for_one() {
        let others: [&[u8]; 8] = [
            b"",
            b"\x80\x04\x95",
            b"\x80\x02anything",
            b"anything",
            b"class A:\n    pass\n",
            b"cat is\ndog\n.",
            b"(1, 2)\n",
            b"\x00\x01\x02",
        ];
        for bytes in others {
            assert_eq!(wants(bytes), None, "{bytes:?}");
        }
        assert_eq!(wants(b"\x80\x04N."), Some(None));
        assert_eq!(wants(b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01."), Some(None));
    }

    #[test]
    fn every_length_of_a_pickle_is_read_without_a_panic() {
        let bytes = include_bytes!("../../../../tests/fixtures/torch/legacy.pt");
        let whole = scan(bytes).unwrap();
        assert_eq!(whole, Pickled { wants: None, is_legacy: true });
        for end in 0..bytes.len().min(2_000) {
            let _ = scan(&bytes[..end]);
        }
    }
}
