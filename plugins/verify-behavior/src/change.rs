//! Changes the values of a column.

use std::{borrow::Cow, sync::Arc};

use modelwatch_sdk::{
    Error, Result,
    arrow::{
        array::{
            Array, ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int16Array,
            Int32Array, Int64Array, StringArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
        },
        schema::{DataType, Field},
    },
    rows,
};

use crate::{
    config::{Channels, Flip},
    noise,
    settings::{Edit, EditKind, ImageOptions},
};

/// Returns the changed column, and adds to `differs` the rows that are not what they were.
///
/// Noise is drawn by the key of each row. `path` is where the change is among the options.
pub(crate) fn changed(
    edit: &Edit,
    (field, array): (&Field, &ArrayRef),
    keys: &[u64],
    differs: &mut [bool],
    path: &str,
) -> Result<ArrayRef> {
    let name = field.name();
    if let EditKind::SetText(text) = &edit.kind {
        return set_text(text, (field, array), differs, path);
    }
    if !rows::is_numeric(field.data_type()) {
        let message = format!("column `{name}` is {}, which only `set` with a text can change", field.data_type());
        return Err(Error::config(path, message));
    }
    let data_type = match edit.kind {
        EditKind::Missing => with_nan(field.data_type()),
        _ => field.data_type().clone(),
    };
    let leaf = leaf(&data_type);
    let numbers = rows::numbers(array.as_ref())?;
    let image = match &edit.kind {
        EditKind::Shift { image, .. } | EditKind::Flip { image, .. } => Some(Image::of(image, field, path)?),
        _ => None,
    };
    let key = noise::hash(0xcbf2_9ce4_8422_2325, name.as_bytes());
    let mut values = Vec::with_capacity(numbers.values.len());
    for row in 0..array.len() {
        let before = numbers.row(row);
        let start = values.len();
        values.extend(before.iter().enumerate().map(|(place, &it)| {
            let it = match &edit.kind {
                EditKind::Noise(deviation) => it + deviation * noise::normal(keys[row] ^ key, place as u64),
                EditKind::Shift { by, fill, .. } => {
                    image.as_ref().and_then(|it| it.shifted(place, *by)).map_or(*fill, |it| before[it])
                }
                EditKind::Flip { flip, .. } => image.as_ref().map_or(it, |it| before[it.flipped(place, *flip)]),
                EditKind::Scale(factor) => it * factor,
                EditKind::Add(amount) => it + amount,
                EditKind::Set(value) => *value,
                EditKind::SetText(_) => it,
                EditKind::Missing => f64::NAN,
            };
            let it = edit.clip.map_or(it, |[low, high]| if it.is_nan() { it } else { it.clamp(low, high) });
            representable(leaf, it)
        }));
        differs[row] |= before.iter().zip(&values[start..]).any(|(a, b)| a != b && !(a.is_nan() && b.is_nan()));
    }
    array_of(&data_type, values)
        .map_err(|e| Error::config(path, format!("cannot change column `{name}`: {}", e.message)))
}

fn set_text(text: &str, (field, array): (&Field, &ArrayRef), differs: &mut [bool], path: &str) -> Result<ArrayRef> {
    if *field.data_type() != DataType::Utf8 {
        let message = format!("column `{}` is {} and takes no text", field.name(), field.data_type());
        return Err(Error::config(path, message).with_help("`set` it to a number"));
    }
    let before = rows::texts(array.as_ref())?;
    before.iter().zip(differs).for_each(|(before, differs)| *differs |= before.as_ref().map(Cow::as_ref) != Some(text));
    Ok(Arc::new(StringArray::from_iter_values(before.iter().map(|_| text))))
}

/// Returns the type in which a column of whole numbers can have a NaN, as a column has that is read with a value missing.
fn with_nan(data_type: &DataType) -> DataType {
    match data_type {
        DataType::FixedSizeList(item, width) => {
            let item = item.as_ref().clone().with_data_type(with_nan(item.data_type()));
            DataType::FixedSizeList(Arc::new(item), *width)
        }
        it if it.is_floating() => it.clone(),
        _ => DataType::Float64,
    }
}

fn leaf(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::FixedSizeList(item, _) => leaf(item.data_type()),
        it => it,
    }
}

/// Returns the nearest number that a column of that type can hold.
fn representable(data_type: &DataType, value: f64) -> f64 {
    match data_type {
        DataType::Float32 => f64::from(value as f32),
        DataType::Int8 => f64::from(value.round() as i8),
        DataType::Int16 => f64::from(value.round() as i16),
        DataType::Int32 => f64::from(value.round() as i32),
        DataType::Int64 => value.round() as i64 as f64,
        DataType::UInt8 => f64::from(value.round() as u8),
        DataType::UInt16 => f64::from(value.round() as u16),
        DataType::UInt32 => f64::from(value.round() as u32),
        DataType::UInt64 => value.round() as u64 as f64,
        DataType::Boolean => f64::from(u8::from(value >= 0.5)),
        _ => value,
    }
}

/// Returns an array of that type with these numbers, row by row.
pub(crate) fn array_of(data_type: &DataType, values: Vec<f64>) -> Result<ArrayRef> {
    macro_rules! integers {
        ($array:ident, $ty:ty) => {
            Arc::new(values.into_iter().map(|it| Some(it as $ty)).collect::<$array>())
        };
    }
    Ok(match data_type {
        DataType::FixedSizeList(item, width) => {
            let items = array_of(item.data_type(), values)?;
            Arc::new(FixedSizeListArray::try_new(Arc::clone(item), *width, items, None).map_err(Error::input)?)
        }
        DataType::Float64 => Arc::new(Float64Array::from(values)),
        DataType::Float32 => Arc::new(Float32Array::from_iter_values(values.into_iter().map(|it| it as f32))),
        DataType::Int8 => integers!(Int8Array, i8),
        DataType::Int16 => integers!(Int16Array, i16),
        DataType::Int32 => integers!(Int32Array, i32),
        DataType::Int64 => integers!(Int64Array, i64),
        DataType::UInt8 => integers!(UInt8Array, u8),
        DataType::UInt16 => integers!(UInt16Array, u16),
        DataType::UInt32 => integers!(UInt32Array, u32),
        DataType::UInt64 => integers!(UInt64Array, u64),
        DataType::Boolean => Arc::new(values.into_iter().map(|it| Some(it != 0.0)).collect::<BooleanArray>()),
        other => return Err(Error::input(format!("{other} cannot be made; store it as `f32` or `f64`"))),
    })
}

/// Where the pixels of an image are.
struct Image {
    height: usize,
    width: usize,
    /// The distance in memory of pixels below each other, beside each other, and of channels.
    strides: [usize; 2],
}

impl Image {
    fn of(options: &ImageOptions, field: &Field, path: &str) -> Result<Self> {
        let known = rows::row_shape(field);
        let shape = options.shape.clone().unwrap_or_else(|| known.clone());
        let size = |it: &[usize]| it.iter().try_fold(1_usize, |size, it| size.checked_mul(*it));
        if size(&shape) != size(&known) {
            let message = format!("column `{}` has rows of {known:?}, which are no images of {shape:?}", field.name());
            return Err(Error::config(format!("{path}/shape"), message));
        }
        let is_last = |it: &[usize]| match options.channels {
            Some(it) => Some(it == Channels::Last),
            None if matches!(it[2], 1 | 3 | 4) => Some(true),
            None if matches!(it[0], 1 | 3 | 4) => Some(false),
            None => None,
        };
        match shape[..] {
            [height, width] => Ok(Self { height, width, strides: [width, 1] }),
            [a, b, c] => match is_last(&shape) {
                Some(true) => Ok(Self { height: a, width: b, strides: [b * c, c] }),
                Some(false) => Ok(Self { height: b, width: c, strides: [c, 1] }),
                None => Err(Error::config(path, format!("where the channels of {shape:?} are cannot be told"))
                    .with_help("set `channels` to \"first\" or \"last\"")),
            },
            [] => Err(Error::config(path, format!("column `{}` has one number in each row, no image", field.name()))
                .with_help("name the columns of images in `columns`")),
            _ => Err(Error::config(path, format!("column `{}` has rows of {shape:?}, no images", field.name()))
                .with_help("give height and width in `shape`")),
        }
    }

    fn pixel(&self, place: usize) -> (usize, usize) {
        (place / self.strides[0] % self.height, place / self.strides[1] % self.width)
    }

    /// Returns the place of the pixel at `(y, x)` in the channel of `place`.
    fn at(&self, place: usize, y: usize, x: usize) -> usize {
        let (old_y, old_x) = self.pixel(place);
        place - old_y * self.strides[0] - old_x * self.strides[1] + y * self.strides[0] + x * self.strides[1]
    }

    /// Returns where the value comes from that a shift brings to `place`.
    fn shifted(&self, place: usize, by: [i64; 2]) -> Option<usize> {
        let (y, x) = self.pixel(place);
        let y = usize::try_from((y as i64).checked_sub(by[0])?).ok().filter(|&it| it < self.height)?;
        let x = usize::try_from((x as i64).checked_sub(by[1])?).ok().filter(|&it| it < self.width)?;
        Some(self.at(place, y, x))
    }

    fn flipped(&self, place: usize, flip: Flip) -> usize {
        let (y, x) = self.pixel(place);
        match flip {
            Flip::Horizontal => self.at(place, y, self.width - 1 - x),
            Flip::Vertical => self.at(place, self.height - 1 - y, x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(shape: Option<Vec<usize>>, channels: Option<Channels>) -> ImageOptions {
        ImageOptions { shape, channels }
    }

    fn list(n: i32) -> DataType {
        DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, true)), n)
    }

    #[track_caller]
    fn check(kind: EditKind, before: &[f64], after: &[f64]) {
        let field = Field::new("x", list(before.len() as i32), true);
        let array = array_of(field.data_type(), before.to_vec()).unwrap();
        let mut differs = [false];
        let got = changed(&Edit { kind, clip: None }, (&field, &array), &[1], &mut differs, "").unwrap();
        assert_eq!(rows::numbers(got.as_ref()).unwrap().row(0), after);
        assert_eq!(differs[0], before != after);
    }

    #[test]
    fn images_are_shifted_and_flipped_in_each_channel() {
        let two_by_three = || images(Some(vec![2, 3]), None);
        let shift = |by, image| EditKind::Shift { by, fill: 9.0, image };
        check(shift([0, 1], two_by_three()), &[1., 2., 3., 4., 5., 6.], &[9., 1., 2., 9., 4., 5.]);
        check(shift([-1, 0], two_by_three()), &[1., 2., 3., 4., 5., 6.], &[4., 5., 6., 9., 9., 9.]);
        check(shift([5, 0], two_by_three()), &[1., 2., 3., 4., 5., 6.], &[9.; 6]);
        let flip = |flip, image| EditKind::Flip { flip, image };
        check(flip(Flip::Horizontal, two_by_three()), &[1., 2., 3., 4., 5., 6.], &[3., 2., 1., 6., 5., 4.]);
        check(flip(Flip::Vertical, two_by_three()), &[1., 2., 3., 4., 5., 6.], &[4., 5., 6., 1., 2., 3.]);
        check(flip(Flip::Vertical, two_by_three()), &[1., 2., 3., 1., 2., 3.], &[1., 2., 3., 1., 2., 3.]);
        let last = images(Some(vec![1, 2, 2]), Some(Channels::Last));
        check(flip(Flip::Horizontal, last), &[1., 10., 2., 20.], &[2., 20., 1., 10.]);
        let first = images(Some(vec![2, 1, 2]), Some(Channels::First));
        check(flip(Flip::Horizontal, first), &[1., 2., 10., 20.], &[2., 1., 20., 10.]);
    }

    #[test]
    fn numbers_are_rounded_to_what_the_column_holds() {
        let field = Field::new("n", DataType::UInt8, true);
        let array = array_of(field.data_type(), vec![1.0, 200.0, 0.0]).unwrap();
        let mut differs = [false; 3];
        let edit = Edit { kind: EditKind::Scale(1.3), clip: None };
        let got = changed(&edit, (&field, &array), &[0; 3], &mut differs, "").unwrap();
        assert_eq!(rows::numbers(got.as_ref()).unwrap().values[..], [1.0, 255.0, 0.0]);
        assert_eq!(differs, [false, true, false]);
    }

    #[test]
    fn a_whole_number_that_is_missing_is_nan() {
        for data_type in [DataType::Int64, DataType::Boolean, DataType::Float32] {
            let field = Field::new("n", data_type.clone(), true);
            let array = array_of(&data_type, vec![1.0, 0.0]).unwrap();
            let mut differs = [false; 2];
            let missing = Edit { kind: EditKind::Missing, clip: None };
            let got = changed(&missing, (&field, &array), &[0; 2], &mut differs, "/change").unwrap();
            assert!(got.data_type().is_floating() && differs == [true; 2], "{data_type}");
            assert!(rows::numbers(got.as_ref()).unwrap().values.iter().all(|it| it.is_nan()), "{data_type}");
        }
    }

    #[test]
    fn a_column_of_a_table_is_no_image() {
        let field = Field::new("age", DataType::Float64, true);
        let array = array_of(field.data_type(), vec![1.0]).unwrap();
        let edit = Edit { kind: EditKind::Flip { flip: Flip::Vertical, image: images(None, None) }, clip: None };
        let error = changed(&edit, (&field, &array), &[0], &mut [false], "/change").unwrap_err();
        assert_eq!(error.message, "column `age` has one number in each row, no image");
        assert_eq!(error.help, "name the columns of images in `columns`");
    }

    #[test]
    fn a_shape_that_does_not_fit_is_refused() {
        let field = Field::new("x", list(6), true);
        let array = array_of(field.data_type(), vec![0.0; 6]).unwrap();
        for (image, words) in [
            (images(None, None), "no images"),
            (images(Some(vec![2, 2]), None), "no images of [2, 2]"),
            (images(Some(vec![2, 3, 1]), None), ""),
            (images(Some(vec![2, 1, 3]), None), ""),
        ] {
            let edit = Edit { kind: EditKind::Flip { flip: Flip::Vertical, image }, clip: None };
            let res = changed(&edit, (&field, &array), &[0], &mut [false], "/change");
            assert_eq!(res.is_err(), !words.is_empty());
            assert!(res.err().is_none_or(|it| it.message.contains(words)));
        }
    }
}
