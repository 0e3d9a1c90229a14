//! Which columns are read, what they are for, and who sees them.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema};
use modelwatch_config::Columns;
use modelwatch_sdk::{
    ModelRole, Need, RowNeeds,
    rows::{Use, has_use, inputs_of, layer_name, with_input, with_uses},
};

use crate::{
    data::{BATCH_UNIT, width},
    inputs::{InputMap, is_prediction},
};

/// The bytes of a batch, roughly, unless the pipeline says how many rows it has. A column of a batch
/// crosses to a plugin in a few microseconds whatever its length, so that small batches would cost a
/// tenth of a pass (`benches/overhead.rs`), and larger ones only memory.
const BATCH_BYTES: usize = 16 << 20;

/// The least and the most rows of such a batch.
const BATCH_ROWS: std::ops::RangeInclusive<usize> = 1024..=262_144;

/// Returns how many rows of these columns a batch has.
pub(crate) fn batch_rows<'a>(columns: impl Iterator<Item = &'a Field>) -> usize {
    (BATCH_BYTES / row_width(columns)).clamp(*BATCH_ROWS.start(), *BATCH_ROWS.end())
}

/// Returns the bytes of a row, at least 1.
fn row_width<'a>(columns: impl Iterator<Item = &'a Field>) -> usize {
    columns.map(|it| width(it.data_type())).fold(0, usize::saturating_add).max(1)
}

/// The plan of the columns of one role's data.
pub(crate) struct Layout {
    /// The fields of the data with their uses, in the order of the data.
    fields: Vec<Field>,
    /// The columns that are read.
    read: BTreeSet<String>,
    /// The models whose outputs or layers are wanted, and what these are made of.
    models: Vec<(ModelRole, InputMap)>,
    needs: Vec<RowNeeds>,
    infer_threads: NonZeroUsize,
}

impl Layout {
    /// Plans for probes with these needs, in which layers have the names of their tensors. The models are those that some probe wants, to
    /// have outputs or to run it.
    pub(crate) fn new(
        schema: &Schema,
        columns: &Columns,
        needs: Vec<RowNeeds>,
        models: Vec<(ModelRole, InputMap)>,
        infer_threads: NonZeroUsize,
    ) -> Self {
        let fields = schema.fields().iter().map(|it| used(it, columns));
        let fields: Vec<_> = fields.map(|it| fed(it, &models)).collect();
        let wanted = fields.iter().filter(|field| needs.iter().any(|it| wants(it, field)));
        let mut read: BTreeSet<String> = wanted.map(|it| it.name().clone()).collect();
        let mut models = models;
        let has_a_use = |it: &RowNeeds, role| it.outputs_of(role) != Need::No || !it.layers_of(role).is_empty();
        models.retain(|(role, _)| needs.iter().any(|it| has_a_use(it, *role)));
        read.extend(models.iter().flat_map(|(_, map)| map.columns()).map(str::to_owned));
        // Rows are counted by reading at least one column.
        if read.is_empty() {
            let has_values = fields.iter().find(|it| *it.data_type() != DataType::Null);
            read.extend(has_values.or(fields.first()).map(|it| it.name().clone()));
        }
        Self { fields, read, models, needs, infer_threads }
    }

    /// Returns the columns to read, in the order of the data.
    pub(crate) fn columns(&self) -> Vec<String> {
        self.fields.iter().map(Field::name).filter(|it| self.read.contains(*it)).cloned().collect()
    }

    /// Returns how many rows a batch has, unless the pipeline says otherwise, given the bytes of the layers that stand beside each.
    pub(crate) fn batch_rows(&self, layers: usize) -> usize {
        let columns = self.fields.iter().filter(|it| self.read.contains(it.name()));
        match layers {
            0 => batch_rows(columns),
            // Layers are often wider than all columns, and models run on as few rows as well as on many.
            _ => (BATCH_BYTES / row_width(columns).saturating_add(layers)).clamp(BATCH_UNIT, *BATCH_ROWS.end()),
        }
    }

    pub(super) fn models(&self) -> impl Iterator<Item = (ModelRole, &InputMap)> {
        self.models.iter().map(|(role, map)| (*role, map))
    }

    pub(super) fn infer_threads(&self) -> NonZeroUsize {
        self.infer_threads
    }

    /// Writes the uses into the fields and puts what models gave beside the rows.
    pub(crate) fn annotate(&self, rows: &RecordBatch, outputs: Vec<(Use, RecordBatch)>) -> Result<RecordBatch, String> {
        let mut fields = Vec::new();
        let mut arrays = rows.columns().to_vec();
        for it in rows.schema_ref().fields() {
            let known = self.fields.iter().find(|field| field.name() == it.name());
            fields.push(known.cloned().unwrap_or_else(|| it.as_ref().clone()));
        }
        for (kind, output) in outputs {
            for (field, array) in output.schema_ref().fields().iter().zip(output.columns()) {
                let name = format!("{}:{}", kind.as_str(), field.name());
                fields.push(with_uses(field.as_ref().clone().with_name(name), &[kind]));
                arrays.push(Arc::clone(array));
            }
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| e.to_string())
    }

    /// Returns why the probe at `at` lacks a layer that it wants, if it does, given those that models refuse.
    pub(super) fn lacks(&self, at: usize, refused: &[(ModelRole, BTreeMap<String, String>)]) -> Option<String> {
        let of_model = |(role, refused): &(ModelRole, BTreeMap<String, String>)| {
            let (layer, why) = self.needs[at].layers_of(*role).iter().find_map(|it| refused.get_key_value(it))?;
            Some(format!("the layer `{layer}` of the {} model cannot be given: {why}", role.as_str()))
        };
        refused.iter().find_map(of_model)
    }

    /// Returns the positions of the columns that the probe at `at` sees.
    pub(crate) fn projection(&self, at: usize, rows: &RecordBatch) -> Vec<usize> {
        let fields = rows.schema_ref().fields().iter().enumerate();
        fields.filter(|(_, field)| wants(&self.needs[at], field)).map(|(at, _)| at).collect()
    }
}

/// Returns the field with the uses that the pipeline gives it.
pub(crate) fn used(field: &Field, columns: &Columns) -> Field {
    let is = |name: &Option<String>| name.as_ref() == Some(field.name());
    let mut uses = Vec::new();
    let special = [
        (is(&columns.label), Use::Label),
        (is(&columns.id), Use::Id),
        (is(&columns.timestamp), Use::Timestamp),
        (is(&columns.weight), Use::Weight),
    ];
    uses.extend(special.into_iter().filter(|it| it.0).map(|it| it.1));
    if uses.is_empty() && !columns.ignore.contains(field.name()) && !is_prediction(field.name(), columns) {
        uses.push(Use::Feature);
    }
    if columns.slices.contains(field.name()) {
        uses.push(Use::Slice);
    }
    if columns.categorical.contains(field.name()) {
        uses.push(Use::Categorical);
    }
    with_uses(field.clone(), &uses)
}

/// Returns the field with the models' inputs that it is a part of.
fn fed(field: Field, models: &[(ModelRole, InputMap)]) -> Field {
    models.iter().filter(|(_, map)| !map.is_recorded()).fold(field, |res, (role, map)| {
        let inputs: Vec<_> = map.inputs_of(res.name()).map(str::to_owned).collect();
        inputs.iter().fold(res, |res, input| with_input(res, *role, input))
    })
}

fn wants(needs: &RowNeeds, field: &Field) -> bool {
    let by_use = [
        (needs.features, Use::Feature),
        (needs.label != Need::No, Use::Label),
        (needs.id != Need::No, Use::Id),
        (needs.timestamp != Need::No, Use::Timestamp),
        (needs.weight != Need::No, Use::Weight),
        (needs.slices, Use::Slice),
        (needs.predictions != Need::No, Use::Candidate),
        (needs.baseline_predictions != Need::No, Use::Baseline),
    ];
    let by_model = |it: ModelRole| {
        (needs.inputs_of(it) != Need::No && !inputs_of(field, it).is_empty())
            || layer_name(field, it).is_some_and(|name| needs.layers_of(it).iter().any(|it| it == name))
    };
    by_use.into_iter().any(|(wanted, it)| wanted && has_use(field, it))
        || needs.columns.contains(field.name())
        || [ModelRole::Candidate, ModelRole::Baseline].into_iter().any(by_model)
}

#[cfg(test)]
mod tests {
    use arrow_schema::DataType;

    use super::*;

    #[test]
    fn a_batch_has_fewer_rows_beside_wide_layers() {
        let schema = Schema::new(Vec::from_iter((0..10).map(|it| Field::new(it.to_string(), DataType::Float64, true))));
        let needs = RowNeeds { features: true, ..RowNeeds::default() };
        let layout = Layout::new(&schema, &Columns::default(), vec![needs], Vec::new(), NonZeroUsize::MIN);
        let plain = layout.batch_rows(0);
        assert_eq!(plain, BATCH_BYTES / 80);
        for (layers, rows) in
            [(4 * 1024, BATCH_BYTES / (80 + 4 * 1024)), (4 * 64 * 56 * 56, BATCH_UNIT), (1, BATCH_BYTES / 81)]
        {
            assert_eq!(layout.batch_rows(layers), rows, "{layers}");
        }
    }
}
