//! Moves a few numbers without a call, which would take longer than what it does.

/// Adds numbers to as many.
#[inline(always)]
pub(super) fn add(to: &mut [f32], numbers: &[f32]) {
    for (to, number) in to.iter_mut().zip(numbers) {
        *to += number;
    }
}

/// Copies as many numbers.
#[inline(always)]
pub(super) fn copy(to: &mut [f32], from: &[f32]) {
    const FEW: usize = 8;
    if let (Ok(to), Ok(from)) = (<&mut [f32; FEW]>::try_from(&mut *to), <&[f32; FEW]>::try_from(from)) {
        *to = *from;
        return;
    }
    for (to, from) in to.as_chunks_mut::<FEW>().0.iter_mut().zip(from.as_chunks::<FEW>().0) {
        *to = *from;
    }
    // The last of those that no longer fill a chunk, and some of those before once more.
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<FEW>(), from.last_chunk::<FEW>()) {
        *to = *from;
    } else if let (Some(first), Some(from_first)) = (to.first_chunk_mut::<4>(), from.first_chunk::<4>()) {
        *first = *from_first;
        if let (Some(to), Some(from)) = (to.last_chunk_mut::<4>(), from.last_chunk::<4>()) {
            *to = *from;
        }
    } else {
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
    }
}

/// Copies the first, third, fifth and so on.
#[inline(always)]
pub(super) fn every_other(to: &mut [f32], from: &[f32]) {
    let (pairs, last) = from.as_chunks::<2>();
    for (to, pair) in to.iter_mut().zip(pairs) {
        *to = pair[0];
    }
    if let ([last], Some(to)) = (last, to.get_mut(pairs.len())) {
        *to = *last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_numbers_are_copied_as_there_are() {
        for n in 0_u8..40 {
            let from: Vec<f32> = (1..=n).map(f32::from).collect();
            let mut to = vec![0.0; 42];
            copy(&mut to[1..=usize::from(n)], &from);
            assert_eq!(to[1..=usize::from(n)], from);
            assert!(to[0] == 0.0 && to[1 + usize::from(n)..].iter().all(|it| *it == 0.0), "{to:?}");
        }
    }
}
