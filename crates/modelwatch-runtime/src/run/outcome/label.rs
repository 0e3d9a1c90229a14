//! What becomes of the label where an analyzer looks at the columns.

use modelwatch_config::{Data, ProbeKind};
use modelwatch_sdk::{Need, Needs, report::Gap};

/// Returns that an analyzer of columns leaves the label out, which is no feature: a role that is given is not passed over in silence.
pub(super) fn left_out(data: Option<&Data>, kind: ProbeKind, needs: &Needs) -> Option<Gap> {
    let column = data?.columns.label.as_ref().filter(|_| kind == ProbeKind::Analyzer)?;
    let mut rows = needs.current.iter().chain(&needs.reference).filter(|it| it.features).peekable();
    rows.peek()?;
    let is_looked_at = rows.any(|it| it.label != Need::No || it.columns.contains(column));
    let why =
        format!("`{column}` is no feature and is left out; name it in `columns` where it is to be looked at as well");
    (!is_looked_at && needs.selection.is_some()).then(|| Gap::new("label", why))
}

#[cfg(test)]
mod tests {
    use modelwatch_config::Columns;
    use modelwatch_sdk::{RowNeeds, rows::SelectedColumns};

    use super::*;

    #[test]
    fn a_label_that_an_analyzer_of_columns_leaves_out_is_a_gap() {
        let columns = Columns { label: Some("y".to_owned()), ..Columns::default() };
        let data = Data { current: None, reference: None, columns };
        let of = |rows: RowNeeds, selection: Option<SelectedColumns>| {
            let needs = Needs { current: Some(rows), selection, ..Needs::default() };
            [ProbeKind::Analyzer, ProbeKind::Verifier].map(|kind| left_out(Some(&data), kind, &needs).is_some())
        };
        let rows = || RowNeeds { features: true, ..RowNeeds::default() };
        let selection = || Some(SelectedColumns::default());
        assert_eq!(of(rows(), selection()), [true, false]);
        assert_eq!(of(rows(), None), [false; 2]);
        assert_eq!(of(RowNeeds { features: false, ..rows() }, selection()), [false; 2]);
        assert_eq!(of(RowNeeds { label: Need::Optional, ..rows() }, selection()), [false; 2]);
        assert_eq!(of(RowNeeds { columns: vec!["y".to_owned()], ..rows() }, selection()), [false; 2]);
        assert!(left_out(None, ProbeKind::Analyzer, &Needs::default()).is_none());
    }
}
