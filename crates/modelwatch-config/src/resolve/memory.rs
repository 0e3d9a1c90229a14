//! Amounts of memory as people write them.

use crate::options::MemoryOption;

/// Less than this does not hold the program itself.
const LEAST: u64 = 64 << 20;

/// More than any machine has, and far from what a number of the system cannot hold.
const MOST: u64 = 1 << 50;

/// Returns the bytes, or what is wrong with them.
pub(super) fn memory(option: &MemoryOption) -> Result<u64, &'static str> {
    let bytes = match option {
        MemoryOption::Bytes(it) => *it,
        MemoryOption::Text(it) => bytes(it)?,
    };
    if bytes.is_nan() || bytes < LEAST as f64 {
        return Err("is less than 64 MiB, in which no plugin runs");
    }
    if bytes > MOST as f64 {
        return Err("is more than 1 PiB");
    }
    Ok(bytes as u64)
}

fn bytes(text: &str) -> Result<f64, &'static str> {
    let text = text.trim();
    let n_number = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..n_number].parse().map_err(|_| "has no number where one is needed")?;
    let factor = match text[n_number..].trim_start() {
        "KiB" => (1_u64 << 10) as f64,
        "MiB" => (1_u64 << 20) as f64,
        "GiB" => (1_u64 << 30) as f64,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "" => return Err("has no unit"),
        _ => return Err("has a unit that is not known"),
    };
    Ok(number * factor)
}

#[cfg(test)]
mod tests {
    use super::memory;
    use crate::options::MemoryOption::{Bytes, Text};

    #[test]
    fn amounts_have_units() {
        for (text, bytes) in [
            ("512MiB", 512 << 20),
            (" 2 GiB ", 2 << 30),
            ("1.5GiB", 3 << 29),
            ("1GB", 1_000_000_000),
            ("70000 KiB", 70_000 << 10),
        ] {
            assert_eq!(memory(&Text(text.to_owned())), Ok(bytes), "{text}");
        }
        assert_eq!(memory(&Bytes(1e9)), Ok(1_000_000_000));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "GiB", "5", "5 loaves", "1..2GiB", "-5GiB", "0GiB", "63MiB", "2000000GiB", "1e9GiB", "ä"] {
            assert!(memory(&Text(text.to_owned())).is_err(), "{text}");
        }
        for bytes in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(memory(&Bytes(bytes)).is_err(), "{bytes}");
        }
    }
}
