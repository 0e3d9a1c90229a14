"""Compares two tables by the libraries that others use; `cargo xtask bench drift` runs it.

drift.py PEER FOLDER: reference.parquet and current.parquet in it, numbers and strings. Its cost is that of this whole process.
"""

import sys


def polars(reference, current):
    """What any comparison has to do: read, sort the numbers, count the categories."""
    import polars as pl

    for path in (reference, current):
        table = pl.read_parquet(path)
        for column in table:
            if column.dtype == pl.String:
                column.value_counts()
            else:
                column.sort()


def columns(reference, current):
    import pandas

    tables = [pandas.read_parquet(it) for it in (reference, current)]
    numbers = list(tables[0].select_dtypes("number").columns)
    return *tables, numbers, [it for it in tables[0].columns if it not in numbers]


def scipy(reference, current):
    """Kolmogorov-Smirnov and chi-squared, column by column."""
    import pandas
    from scipy import stats

    reference, current, numbers, categories = columns(reference, current)
    for name in numbers:
        stats.ks_2samp(reference[name], current[name], method="asymp")
    for name in categories:
        counts = pandas.concat([it[name].value_counts() for it in (reference, current)], axis=1).fillna(0)
        stats.chi2_contingency(counts.to_numpy().T, correction=False)


def nannyml(reference, current):
    """Its defaults: Jensen-Shannon in ten chunks."""
    import nannyml as nml

    reference, current, numbers, categories = columns(reference, current)
    calculator = nml.UnivariateDriftCalculator(column_names=numbers + categories, treat_as_categorical=categories)
    calculator.fit(reference)
    calculator.calculate(current).to_df()


def evidently(reference, current):
    """Its preset with its defaults, to JSON."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    reference, current, numbers, categories = columns(reference, current)
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    reference, current = (Dataset.from_pandas(it, data_definition=definition) for it in (reference, current))
    Report([DataDriftPreset()]).run(current, reference).json()


PEERS = {it.__name__: it for it in (polars, scipy, nannyml, evidently)}

if __name__ == "__main__":
    peer, folder = sys.argv[1:]
    PEERS[peer](f"{folder}/reference.parquet", f"{folder}/current.parquet")
