use super::{DataError, Id};
use crate::Map;
use csv::StringRecord;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The file of this name in the folder, plain or with `.gz`.
pub(super) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|file| file.is_file())
}

/// Rows of a CSV file with a header, plain or gzip (told by its content), reduced to some columns.
pub(super) struct Rows<const N: usize> {
    file: PathBuf,
    reader: csv::Reader<Box<dyn Read>>,
    places: [usize; N],
    record: StringRecord,
    row: u64,
}

impl<const N: usize> Rows<N> {
    pub(super) fn open(file: &Path, columns: [&'static str; N]) -> Result<Self, DataError> {
        let unreadable = |reason: String| DataError::Unreadable { file: file.to_owned(), reason };
        let mut content = BufReader::new(File::open(file).map_err(|error| unreadable(error.to_string()))?);
        let gzip =
            content.fill_buf().map_err(|error| unreadable(error.to_string()))?.starts_with(&[0x1f, 0x8b]);
        let content: Box<dyn Read> =
            if gzip { Box::new(BufReader::new(MultiGzDecoder::new(content))) } else { Box::new(content) };
        let mut reader = csv::Reader::from_reader(content);
        let header = reader.headers().map_err(|error| unreadable(error.to_string()))?.clone();
        let mut places = [0; N];
        for (place, column) in places.iter_mut().zip(columns) {
            *place = header.iter().position(|name| name.trim() == column).ok_or_else(|| {
                let found = header.iter().collect::<Vec<_>>().join(", ");
                DataError::MissingColumn { file: file.to_owned(), column, found }
            })?;
        }
        Ok(Self { file: file.to_owned(), reader, places, record: StringRecord::new(), row: 0 })
    }

    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<[&str; N]>, DataError> {
        let more = self.reader.read_record(&mut self.record);
        self.row += 1;
        match more {
            Ok(true) => Ok(Some(self.places.map(|place| self.record[place].trim()))),
            Ok(false) => Ok(None),
            Err(error) => Err(self.bad(error.to_string())),
        }
    }

    /// An error about the row that was read last.
    pub(super) fn bad(&self, reason: impl Into<String>) -> DataError {
        DataError::BadRow { file: self.file.clone(), row: self.row, reason: reason.into() }
    }
}

/// Numbers for ids, in the order of first sight.
#[derive(Debug, Default)]
pub(super) struct Ids {
    numbers: Map<String, Id>,
    names: Vec<String>,
}

impl Ids {
    pub(super) fn number(&mut self, name: &str) -> Id {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len() as Id;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    pub(super) fn find(&self, name: &str) -> Option<Id> {
        self.numbers.get(name).copied()
    }

    pub(super) fn into_names(self) -> Vec<String> {
        self.names
    }
}
