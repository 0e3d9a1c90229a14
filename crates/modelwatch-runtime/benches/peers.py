"""The same report by scikit-learn, with the percentile bootstrap of its rows; `cargo xtask bench report` runs it.

peers.py FILE REPLICATES: seconds of processor time to read the file, for the report and for one replicate of it (the mean of
REPLICATES), and megabytes at the peak. A replicate draws as many rows as there are, with replacement (Efron 1979).
"""

import resource
import sys
import time

import numpy as np
import pyarrow.parquet as pq
from sklearn import metrics

THRESHOLD = 0.5


def report(labels, scores):
    predicted = (scores >= THRESHOLD).astype(np.int64)
    return [
        metrics.confusion_matrix(labels, predicted).ravel(),
        # Precision, recall and F1 of each class, and their averages.
        *metrics.precision_recall_fscore_support(labels, predicted),
        *(metrics.precision_recall_fscore_support(labels, predicted, average=it)[:3] for it in ("macro", "weighted")),
        metrics.accuracy_score(labels, predicted),
        metrics.balanced_accuracy_score(labels, predicted),
        metrics.matthews_corrcoef(labels, predicted),
        metrics.cohen_kappa_score(labels, predicted),
        metrics.roc_auc_score(labels, scores),
        metrics.average_precision_score(labels, scores),
        metrics.log_loss(labels, scores),
        metrics.brier_score_loss(labels, scores),
    ]


def main():
    file, n_replicates = sys.argv[1], int(sys.argv[2])
    start = time.process_time()
    table = pq.read_table(file)
    labels, scores = table["label"].to_numpy(), table["score"].to_numpy().astype(np.float64)
    read = time.process_time()
    report(labels, scores)
    whole = time.process_time()
    generator = np.random.default_rng(0)
    replicates = []
    for _ in range(n_replicates):
        rows = generator.integers(0, len(labels), len(labels))
        replicates.append(np.concatenate([np.ravel(it) for it in report(labels[rows], scores[rows])]))
    np.quantile(replicates, [0.025, 0.975], axis=0)
    end = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(read - start, whole - read, (end - whole) / n_replicates, peak)


main()
