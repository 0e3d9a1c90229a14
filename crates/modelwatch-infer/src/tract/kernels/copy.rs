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
    let ((to, to_rest), (from, from_rest)) = (to.as_chunks_mut::<FEW>(), from.as_chunks::<FEW>());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
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
