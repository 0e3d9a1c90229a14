//! How well the documents of one query are ranked.

use crate::error::{Reason, Undefined};

/// A document: how relevant it is and what score it was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Document {
    /// How relevant it is, 0 for not at all.
    pub relevance: f64,
    /// The score by which documents are ranked, the highest first.
    pub score: f64,
}

/// Returns the normalized discounted cumulative gain of the first `k` documents (Järvelin & Kekäläinen 2002): `Σ relevance /
/// log₂(rank + 1)` over that of the best order.
///
/// Documents of one score share the mean of their relevance (McSherry & Najork 2008), as in scikit-learn's `ndcg_score`; 0
/// if none is relevant. Undefined for fewer than two documents, a negative relevance, and a NaN.
///
/// ```
/// use modelwatch_stats::retrieval::{Document, ndcg};
///
/// // scikit-learn's example: relevance 10, 0, 0, 1, 5 with the scores 0.1, 0.2, 0.3, 4, 70.
/// let documents = [(10.0, 0.1), (0.0, 0.2), (0.0, 0.3), (1.0, 4.0), (5.0, 70.0)];
/// let documents = documents.map(|(relevance, score)| Document { relevance, score });
/// assert!((ndcg(&documents, usize::MAX).unwrap() - 0.6956940443813076).abs() < 1e-12);
/// assert!((ndcg(&documents, 4).unwrap() - 0.4123818817534531).abs() < 1e-12);
/// ```
pub fn ndcg(documents: &[Document], k: usize) -> Result<f64, Undefined> {
    check(documents)?;
    if documents.len() < 2 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let discount = |rank: usize| if rank <= k { 1.0 / ((rank + 1) as f64).log2() } else { 0.0 };
    let mut ideal: Vec<f64> = documents.iter().map(|it| it.relevance).collect();
    ideal.sort_by(|left, right| right.total_cmp(left));
    let best: f64 = ideal.iter().enumerate().map(|(idx, it)| it * discount(idx + 1)).sum();
    let (mut rank, mut gain) = (0, 0.0);
    for tied in by_score(documents).chunk_by(|left, right| left.score == right.score) {
        let mean = tied.iter().map(|it| it.relevance).sum::<f64>() / tied.len() as f64;
        gain += mean * (rank + 1..=rank + tied.len()).map(discount).sum::<f64>();
        rank += tied.len();
    }
    Ok(if best == 0.0 { 0.0 } else { gain / best })
}

/// Returns the average precision of the documents that are relevant at all: `Σ (R_i - R_{i-1}) P_i` over the distinct scores
/// from the top, as scikit-learn's `average_precision_score`.
///
/// Undefined without a relevant document, for a negative relevance, and for a NaN.
///
/// ```
/// use modelwatch_stats::retrieval::{Document, average_precision};
///
/// let documents = [(1.0, 0.9), (0.0, 0.8), (1.0, 0.7)].map(|(relevance, score)| Document { relevance, score });
/// // Precision 1 at the first hit, ⅔ at the second.
/// assert!((average_precision(&documents).unwrap() - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-15);
/// ```
pub fn average_precision(documents: &[Document]) -> Result<f64, Undefined> {
    check(documents)?;
    let (mut rank, mut hits, mut sum) = (0.0, 0.0, 0.0);
    for tied in by_score(documents).chunk_by(|left, right| left.score == right.score) {
        let relevant = tied.iter().filter(|it| it.relevance > 0.0).count() as f64;
        rank += tied.len() as f64;
        hits += relevant;
        sum += relevant * hits / rank;
    }
    if hits == 0.0 { Err(Undefined::new(Reason::OneClass)) } else { Ok(sum / hits) }
}

/// Returns the rank of the first relevant document, from 1. Of documents of one score those that are not relevant come
/// first, so that equal scores gain nothing.
///
/// Undefined without a relevant document, for a negative relevance, and for a NaN.
///
/// ```
/// use modelwatch_stats::retrieval::{Document, first_relevant};
///
/// let documents = [(0.0, 0.9), (1.0, 0.9), (1.0, 0.1)].map(|(relevance, score)| Document { relevance, score });
/// assert_eq!(first_relevant(&documents), Ok(2));
/// ```
pub fn first_relevant(documents: &[Document]) -> Result<usize, Undefined> {
    check(documents)?;
    let relevant = documents.iter().filter(|it| it.relevance > 0.0).map(|it| it.score);
    let best = relevant.max_by(f64::total_cmp).ok_or(Undefined::new(Reason::OneClass))?;
    Ok(1 + documents.iter().filter(|it| it.relevance == 0.0 && it.score >= best).count())
}

fn check(documents: &[Document]) -> Result<(), Undefined> {
    if documents.is_empty() {
        Err(Undefined::new(Reason::Empty))
    } else if documents.iter().any(|it| it.relevance.is_nan() || it.score.is_nan()) {
        Err(Undefined::new(Reason::NotANumber))
    } else if documents.iter().any(|it| it.relevance < 0.0 || it.relevance.is_infinite()) {
        Err(Undefined::new(Reason::OutOfRange))
    } else {
        Ok(())
    }
}

fn by_score(documents: &[Document]) -> Vec<Document> {
    let mut res = documents.to_vec();
    res.sort_by(|left, right| right.score.total_cmp(&left.score));
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(f64, f64)]) -> Vec<Document> {
        rows.iter().map(|&(relevance, score)| Document { relevance, score }).collect()
    }

    #[test]
    fn ties_share_their_gain() {
        // scikit-learn's example: with ties the gain is averaged.
        let tied = of(&[(10.0, 1.0), (0.0, 0.0), (0.0, 0.0), (1.0, 0.0), (5.0, 1.0)]);
        assert!((ndcg(&tied, 1).unwrap() - 0.75).abs() < 1e-12);
    }

    #[test]
    fn too_little_and_bad_input_is_undefined() {
        assert_eq!(ndcg(&of(&[(1.0, 1.0)]), 5), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(ndcg(&of(&[(-1.0, 1.0), (1.0, 0.0)]), 5), Err(Undefined::new(Reason::OutOfRange)));
        assert_eq!(ndcg(&of(&[(0.0, 1.0), (0.0, 0.0)]), 5), Ok(0.0));
        assert_eq!(average_precision(&of(&[(0.0, 1.0)])), Err(Undefined::new(Reason::OneClass)));
        assert_eq!(first_relevant(&of(&[(1.0, f64::NAN)])), Err(Undefined::new(Reason::NotANumber)));
        assert_eq!(average_precision(&[]), Err(Undefined::new(Reason::Empty)));
    }
}
