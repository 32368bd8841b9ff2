use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::ByteRecord;
use flate2::bufread::MultiGzDecoder;

use super::ReplayError;
use super::report::Rejection;

/// The columns of an event file. They may stand in any order, among others that are ignored.
pub const COLUMNS: [&str; 5] = ["timestamp_ms", "user_id", "item_id", "event_type", "category_id"];

/// One event of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Its place in the file; 1 is the first row after the header.
    pub number: u64,
    /// When it happened, in epoch ms.
    pub timestamp_ms: i64,
    /// As they stand in the file, in the order of [`COLUMNS`].
    pub fields: [String; 5],
}

impl Row {
    pub fn user(&self) -> &str {
        &self.fields[1]
    }

    /// The same for the same row of the same file, however often it is replayed: its number and a hash of its content.
    pub fn event_id(&self) -> String {
        let mut hash = blake3::Hasher::new();
        for field in &self.fields {
            hash.update(&(field.len() as u64).to_le_bytes()).update(field.as_bytes());
        }
        format!("replay-{}-{}", self.number, &hash.finalize().to_hex()[..16])
    }
}

/// A row, or why it is none.
pub(super) type Line = Result<Row, Rejection>;

/// An open event file, plain or gzip (told by its content).
pub(super) struct Source {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read + Send>>,
    /// Where each of [`COLUMNS`] stands.
    places: [usize; 5],
    width: usize,
    number: u64,
    read: Arc<AtomicU64>,
}

impl Source {
    /// Opens the file and checks its header.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let unreadable =
            |e: std::io::Error| ReplayError::Unreadable { file: path.into(), reason: e.to_string() };
        let read = Arc::new(AtomicU64::new(0));
        let file = Counted { inner: File::open(path).map_err(unreadable)?, read: read.clone() };
        let mut file = BufReader::with_capacity(64 * 1024, file);
        let gzip = file.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
        let content: Box<dyn Read + Send> =
            if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(content);
        let header = reader
            .byte_headers()
            .map_err(|e| ReplayError::Unreadable { file: path.into(), reason: e.to_string() })?;
        let found: Vec<String> =
            header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        let mut places = [0; 5];
        for (place, column) in places.iter_mut().zip(COLUMNS) {
            *place = found.iter().position(|name| name == column).ok_or_else(|| {
                ReplayError::MissingColumn { file: path.into(), column, found: found.join(", ") }
            })?;
        }
        Ok(Self { path: path.into(), reader, places, width: found.len(), number: 0, read })
    }

    /// How many bytes of the file have been read, also while the source is used elsewhere.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        self.read.clone()
    }

    /// The next row; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Line>, ReplayError> {
        let mut record = ByteRecord::new();
        let more = self.reader.read_byte_record(&mut record).map_err(|e| ReplayError::BreaksOff {
            file: self.path.clone(),
            after: self.number,
            reason: e.to_string(),
        })?;
        self.number += u64::from(more);
        Ok(more.then(|| self.line(&record)))
    }

    fn line(&self, record: &ByteRecord) -> Line {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let reject = |code: &str, detail: String, fields: Vec<String>| Rejection {
            row: self.number,
            code: code.to_owned(),
            detail,
            fields,
        };
        if record.len() != self.width {
            let detail = format!("the row has {} fields, the header {}", record.len(), self.width);
            return Err(reject("wrong_field_count", detail, record.iter().map(text).collect()));
        }
        let fields = self.places.map(|place| text(&record[place]));
        // Checked here, because replaced bytes would make another id of it.
        if self.places.iter().any(|&place| std::str::from_utf8(&record[place]).is_err()) {
            return Err(reject("not_utf8", "the row is not UTF-8".to_owned(), fields.to_vec()));
        }
        match fields[0].trim().parse() {
            Ok(timestamp_ms) => Ok(Row { number: self.number, timestamp_ms, fields }),
            Err(_) => {
                let detail = format!("timestamp_ms is {:?}, expected epoch milliseconds", fields[0]);
                Err(reject("invalid_timestamp", detail, fields.to_vec()))
            }
        }
    }
}

/// Counts what is read of a file.
struct Counted {
    inner: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(content: &[u8]) -> Result<Vec<Line>, ReplayError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.csv");
        std::fs::write(&path, content).unwrap();
        let mut source = Source::open(&path)?;
        std::iter::from_fn(|| source.next().transpose()).collect()
    }

    const PLAIN: &[u8] =
        b"timestamp_ms,user_id,item_id,event_type,category_id\n5,u,p,view,\n6,u,q,purchase,c\n";

    #[test]
    fn plain_and_gzip_files_read_alike_whatever_they_are_called() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(PLAIN).unwrap();
        let plain = lines(PLAIN).unwrap();
        assert_eq!(plain, lines(&gzip.finish().unwrap()).unwrap());
        assert_eq!(plain[1].as_ref().unwrap().fields, ["6", "u", "q", "purchase", "c"]);
    }

    #[test]
    fn columns_are_found_by_name() {
        let moved = b"user_id,shop,timestamp_ms,category_id,event_type,item_id\nu,x,5,,view,p\n";
        assert_eq!(lines(moved).unwrap()[0], lines(PLAIN).unwrap()[0]);
    }

    #[test]
    fn a_missing_column_is_named_with_those_found() {
        let error = lines(b"timestamp_ms,user,item_id,event_type,category_id\n").unwrap_err().to_string();
        assert!(error.contains("no column user_id"), "{error}");
        assert!(error.contains("timestamp_ms, user, item_id"), "{error}");
        assert!(lines(b"").unwrap_err().to_string().contains("no column timestamp_ms"));
    }

    #[test]
    fn a_bad_row_is_rejected_and_the_next_one_read() {
        let bad = b"timestamp_ms,user_id,item_id,event_type,category_id\nnow,u,p,view,\n5,u\n5,\xff,p,view,\n6,u,p,view,\n";
        let lines = lines(bad).unwrap();
        let codes: Vec<_> = lines
            .iter()
            .map(|line| line.as_ref().map_err(|r| (r.row, &r.code[..])).map(|r| r.number))
            .collect();
        let expected =
            [Err((1, "invalid_timestamp")), Err((2, "wrong_field_count")), Err((3, "not_utf8")), Ok(4)];
        assert_eq!(codes, expected);
    }

    #[test]
    fn a_file_that_breaks_off_says_where() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        gzip.write_all(PLAIN).unwrap();
        let mut cut = gzip.finish().unwrap();
        cut.truncate(cut.len() - 20);
        let error = lines(&cut).unwrap_err().to_string();
        assert!(error.contains("breaks off after row 1"), "{error}");
    }

    #[test]
    fn event_ids_depend_on_the_place_and_the_content() {
        let row = |number, user: &str| Row {
            number,
            timestamp_ms: 5,
            fields: ["5", user, "p", "view", ""].map(str::to_owned),
        };
        assert_eq!(row(1, "u").event_id(), row(1, "u").event_id());
        assert_ne!(row(1, "u").event_id(), row(2, "u").event_id());
        assert_ne!(row(1, "u").event_id(), row(1, "v").event_id());
    }
}
