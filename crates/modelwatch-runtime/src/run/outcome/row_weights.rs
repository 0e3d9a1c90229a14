//! What becomes of the rows' weights: probes that do not heed them, and rows that have none.

use std::collections::BTreeMap;

use modelwatch_config::{Data, ProbeKind};
use modelwatch_sdk::{
    Need, Needs, Role, RowNeeds,
    report::{Check, Gap, Status},
};

/// What a gap is about that says how rows count.
pub(super) const ROW_WEIGHTS: &str = "row weights";

/// Returns that an analyzer of rows counts each of them once although the data says how much they count: a role that is given is not
/// passed over in silence.
pub(super) fn unheeded_weight(data: Option<&Data>, kind: ProbeKind, needs: &Needs) -> Option<Gap> {
    let column = data?.columns.weight.as_ref().filter(|_| kind == ProbeKind::Analyzer)?;
    let mut rows = needs.current.iter().chain(&needs.reference).peekable();
    rows.peek()?;
    let is_heeded = rows.any(|it| it.weight != Need::No);
    (!is_heeded).then(|| Gap::new(ROW_WEIGHTS, format!("every row counts once, whatever its weight in `{column}`")))
}

/// Returns which rows have no weight and are left out by a probe that counts rows by their weights, given how many of how many there are.
pub(super) fn weightless(data: Option<&Data>, seen: &BTreeMap<Role, (u64, u64)>, needs: &Needs) -> Option<Gap> {
    let column = data?.columns.weight.as_ref()?;
    let of_role = |(role, needs): (Role, &Option<RowNeeds>)| {
        needs.as_ref().filter(|it| it.weight != Need::No)?;
        let (n, rows) = seen.get(&role).filter(|it| it.0 > 0)?;
        Some(format!("{n} of {rows} {} rows", role.as_str()))
    };
    let roles = [(Role::Reference, &needs.reference), (Role::Current, &needs.current)];
    let rows: Vec<String> = roles.into_iter().filter_map(of_role).collect();
    let rows = rows.join(" and ");
    let why = format!(
        "{rows} have no weight in `{column}` and are left out; give them one, or 0 where they are not to count"
    );
    (!rows.is_empty()).then(|| Gap::new(ROW_WEIGHTS, why))
}

/// Returns the check, which does not pass where that is why nobody knows.
pub(super) fn unless_undecided(check: Check, why: Option<&str>) -> Check {
    match why {
        Some(why) if check.status == Status::Pass => {
            Check { status: Status::NotChecked, message: why.to_owned(), ..check }
        }
        _ => check,
    }
}

#[cfg(test)]
mod tests {
    use modelwatch_config::Columns;

    use super::{super::failed, *};

    #[test]
    fn weights_that_an_analyzer_does_not_heed_are_a_gap() {
        let data = |weight: Option<&str>| {
            let columns = Columns { weight: weight.map(str::to_owned), ..Columns::default() };
            Data { current: None, reference: None, columns }
        };
        let of_rows = |weight| Needs { current: Some(RowNeeds { weight, ..RowNeeds::default() }), ..Needs::default() };
        let said = |data: &Data, kind, needs: &Needs| unheeded_weight(Some(data), kind, needs).map(|it| it.why);
        let weighted = data(Some("w"));
        let why = "every row counts once, whatever its weight in `w`".to_owned();
        assert_eq!(said(&weighted, ProbeKind::Analyzer, &of_rows(Need::No)), Some(why));
        for need in [Need::Optional, Need::Required] {
            assert_eq!(said(&weighted, ProbeKind::Analyzer, &of_rows(need)), None);
        }
        assert_eq!(said(&weighted, ProbeKind::Verifier, &of_rows(Need::No)), None);
        assert_eq!(said(&weighted, ProbeKind::Analyzer, &Needs::default()), None);
        assert_eq!(said(&data(None), ProbeKind::Analyzer, &of_rows(Need::No)), None);
    }

    #[test]
    fn rows_without_a_weight_are_a_gap_where_weights_are_heeded() {
        let columns = Columns { weight: Some("w".to_owned()), ..Columns::default() };
        let data = Data { current: None, reference: None, columns };
        let rows = |weight| Some(RowNeeds { weight, ..RowNeeds::default() });
        let needs =
            |current, reference| Needs { current: rows(current), reference: rows(reference), ..Needs::default() };
        let seen = BTreeMap::from([(Role::Current, (2, 80)), (Role::Reference, (1, 90))]);
        let said = |needs: &Needs| weightless(Some(&data), &seen, needs).map(|it| it.why);
        let rest = " have no weight in `w` and are left out; give them one, or 0 where they are not to count";
        let both = format!("1 of 90 reference rows and 2 of 80 current rows{rest}");
        assert_eq!(said(&needs(Need::Optional, Need::Optional)), Some(both));
        assert_eq!(said(&needs(Need::Required, Need::No)), Some(format!("2 of 80 current rows{rest}")));
        assert_eq!(said(&needs(Need::No, Need::No)), None);
        let none = BTreeMap::from([(Role::Current, (0, 80))]);
        assert_eq!(weightless(Some(&data), &none, &needs(Need::Optional, Need::Optional)), None);
    }

    #[test]
    fn no_check_passes_where_it_is_undecided() {
        let of = |status, why| unless_undecided(Check { status, ..failed("a", "b", "c") }, why);
        let undecided = of(Status::Pass, Some("why"));
        assert_eq!((undecided.status, undecided.message.as_str()), (Status::NotChecked, "why"));
        assert_eq!(of(Status::Fail, Some("why")).status, Status::Fail);
        assert_eq!(of(Status::Pass, None).status, Status::Pass);
    }
}
