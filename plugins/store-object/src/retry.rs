//! Trying again, with growing pauses, until a deadline.
//!
//! The client's own retries are switched off: it does not tell a put whose first attempt was carried out without
//! a reply from one that was never carried out, and calls its own write a conflict.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use modelwatch_store::random_number;
use tokio::time;

use crate::failure::{Failure, Means};

const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How long the server is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For one request.
    pub(crate) timeout: Duration,
    /// How long a failed request is tried again.
    pub(crate) deadline: Duration,
    /// About how long the pause before the second attempt is.
    pub(crate) pause: Duration,
}

/// Returns what the first attempt that succeeds or fails for good ends with. The first failure after which another attempt is
/// made is told.
pub(crate) async fn persist<T, F>(
    patience: Patience,
    tell: &dyn Fn(&Failure),
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let start = Instant::now();
    let tries = async {
        let (mut pause, mut is_first) = (patience.pause, true);
        loop {
            match attempt().await {
                Err(e) if matches!(e.means, Means::Busy | Means::Unclear) && start.elapsed() < patience.deadline => {
                    if std::mem::take(&mut is_first) {
                        tell(&e);
                    }
                }
                it => return it,
            }
            // Others that failed at the same time shall not come again at the same time.
            time::sleep(pause.mul_f64((random_number() % 1000) as f64 / 1000.0 + 0.5)).await;
            pause = (2 * pause).min(MAX_PAUSE);
        }
    };
    // Each request has its own timeout, but there may be many in one attempt, such as pages of a listing.
    let all = patience.deadline.saturating_add(patience.timeout);
    time::timeout(all, tries).await.unwrap_or_else(|_| Err(Failure::late()))
}
