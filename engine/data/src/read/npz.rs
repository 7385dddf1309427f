//! npz, numpy's archive of named arrays: one column each, in the archive's order.

use std::io::Cursor;

use npyz::npz::{NpzArchive, array_name_from_file_name};

use super::source::{lower, read_limited, unpacked_limit};
use super::{Found, npy};
use crate::cells::Cells;

/// Reads a whole file. Files in the archive that are no arrays are passed over.
pub(super) fn read(bytes: &[u8]) -> Result<Found, String> {
    let mut archive = NpzArchive::new(Cursor::new(bytes)).map_err(|error| lower(&error))?;
    let archive = archive.zip_archive();
    let mut limit = unpacked_limit(bytes.len() as u64);
    let mut columns = Vec::new();
    let mut images = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| lower(&error))?;
        let Some(name) = array_name_from_file_name(entry.name()).map(str::to_owned) else { continue };
        let named = |reason: String| format!("array `{name}` {reason}");
        let data = read_limited(entry, limit).map_err(named)?;
        limit -= data.len() as u64;
        let (column, image) = npy::array(&name, &data).map_err(named)?;
        columns.push(column);
        images.extend(image);
    }
    let mut rows = columns.iter().map(|column| (&column.name, rows(&column.cells)));
    let first = rows.next().ok_or("holds no arrays")?;
    if let Some(other) = rows.find(|other| other.1 != first.1) {
        return Err(format!("array `{}` has {} rows, but array `{}` has {}", other.0, other.1, first.0, first.1));
    }
    // Images of several arrays may have several shapes.
    let image = if let [image] = images.as_slice() { Some(*image) } else { None };
    Ok(Found { columns, image })
}

fn rows(cells: &Cells) -> usize {
    match cells {
        Cells::Numbers(values) => values.len(),
        Cells::Text(values) => values.len(),
        Cells::Vectors { present, .. } => present.len(),
        Cells::Unread { rows, .. } => *rows,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use npyz::WriterBuilder as _;
    use npyz::npz::NpzWriter;
    use npyz::zip::CompressionMethod;
    use npyz::zip::write::FileOptions;

    use super::read;

    fn archive(arrays: &[(&str, &[u64], &[f32])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = NpzWriter::new(Cursor::new(&mut bytes));
        for (name, shape, values) in arrays {
            let options = FileOptions::default().compression_method(CompressionMethod::Deflated);
            let mut array = writer.array(name, options).unwrap().default_dtype().shape(shape).begin_nd().unwrap();
            array.extend(values.iter().copied()).unwrap();
            array.finish().unwrap();
        }
        writer.zip_writer().start_file("notes.txt", FileOptions::default()).unwrap();
        writer.zip_writer().write_all(b"not an array").unwrap();
        drop(writer);
        bytes
    }

    #[test]
    fn arrays_are_columns_in_the_archives_order() {
        let found = read(&archive(&[("y", &[2], &[0.0, 1.0]), ("x", &[2, 1, 2], &[1.0, 2.0, 3.0, 4.0])])).unwrap();
        let names: Vec<_> = found.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!((names, found.image), (vec!["y", "x"], Some([1, 1, 2])));
    }

    #[test]
    fn arrays_of_other_lengths_are_refused() {
        let bytes = archive(&[("x", &[2, 1], &[1.0, 2.0]), ("y", &[1], &[0.0])]);
        assert_eq!(read(&bytes).err().unwrap(), "array `y` has 1 rows, but array `x` has 2");
    }

    #[test]
    fn every_cut_of_an_archive_is_refused_or_read_without_a_crash() {
        let bytes = archive(&[("x", &[2], &[1.0, 2.0])]);
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
