//! The shape of a stream, drawn with few points however long it is.

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer, damaged},
};

/// The most points of a picture.
const N_POINTS: usize = 120;

/// The means of stretches of equal length, of which only the last may be shorter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    /// How many values a stretch has.
    length: u64,
    /// At most twice as many as there are points.
    stretches: Vec<Stretch>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    n: u64,
    mean: f64,
}

/// A point of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// The place in the stream.
    pub(crate) place: f64,
    /// The mean of the values around it.
    pub(crate) mean: f64,
}

impl Default for Picture {
    fn default() -> Self {
        Self { length: 1, stretches: Vec::new() }
    }
}

impl Picture {
    /// Takes in the next value, a finite one.
    pub(crate) fn push(&mut self, value: f64) {
        match self.stretches.last_mut() {
            Some(it) if it.n < self.length => {
                it.n += 1;
                it.mean += (value - it.mean) / it.n as f64;
            }
            _ => {
                if self.stretches.len() == 2 * N_POINTS {
                    self.stretches = joined(&self.stretches);
                    self.length *= 2;
                }
                self.stretches.push(Stretch { n: 1, mean: value });
            }
        }
    }

    /// Returns the points, from the first on.
    pub(crate) fn points(&self) -> Vec<Point> {
        let joined = if self.stretches.len() > N_POINTS { joined(&self.stretches) } else { self.stretches.clone() };
        let mut from = 0.0;
        let point = |it: &Stretch| {
            let n = it.n as f64;
            from += n;
            Point { place: from - (n + 1.0) / 2.0, mean: it.mean }
        };
        joined.iter().map(point).collect()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.length);
        writer.u64(self.stretches.len() as u64);
        for it in &self.stretches {
            writer.u64(it.n);
            writer.f64(it.mean);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let (length, n) = (reader.u64()?, reader.u64()?);
        if length == 0 || length > 1 << 50 || n > 2 * N_POINTS as u64 {
            return Err(damaged("a picture has no such stretches"));
        }
        let stretches: Vec<_> =
            (0..n).map(|_| Ok(Stretch { n: reader.u64()?, mean: reader.f64()? })).collect::<Result<_>>()?;
        let is_fine = stretches.iter().all(|it| (1..=length).contains(&it.n));
        if is_fine { Ok(Self { length, stretches }) } else { Err(damaged("a stretch has another length")) }
    }
}

/// Joins neighbors.
fn joined(stretches: &[Stretch]) -> Vec<Stretch> {
    let join = |pair: &[Stretch]| match *pair {
        [a, b] => {
            let n = a.n + b.n;
            // By shares, so that great means stay finite.
            let mean = a.mean * (a.n as f64 / n as f64) + b.mean * (b.n as f64 / n as f64);
            Stretch { n, mean }
        }
        _ => pair[0],
    };
    stretches.chunks(2).map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(n: usize) -> Picture {
        let mut res = Picture::default();
        (0..n).for_each(|it| res.push(it as f64));
        res
    }

    #[test]
    fn a_point_is_the_mean_of_its_stretch_in_its_middle() {
        for n in [0, 1, 120, 121, 240, 241, 5000, 100_000] {
            let picture = of(n);
            let points = picture.points();
            assert!(points.len() <= N_POINTS && points.len() >= n.min(N_POINTS / 2), "{n}: {}", points.len());
            // The values are their own places.
            assert!(points.iter().all(|it| (it.mean - it.place).abs() < 1e-6), "{n}: {points:?}");
            let mut writer = Writer::default();
            picture.write(&mut writer);
            assert_eq!(Picture::read(&mut Reader(&writer.0)).unwrap(), picture);
        }
    }
}
