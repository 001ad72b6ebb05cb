//! Predictions as a table: csv, tsv, JSON or parquet, written block by block.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::NamedTempFile;

use super::answer::{Answer, TOP};
use crate::whole_file::{begin, put};
use crate::{Error, Result};

/// The name of a cell whose confidence is under the threshold.
pub const UNKNOWN: &str = "unknown";

/// The layout of a prediction file, by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated, `.csv`.
    Csv,
    /// Tab-separated, `.tsv`.
    Tsv,
    /// One JSON array, `.json`.
    Json,
    /// One JSON object a line, `.jsonl`.
    JsonLines,
    /// Apache Parquet, `.parquet`.
    Parquet,
}

impl Format {
    /// The format that the extension of `path` names.
    ///
    /// # Errors
    /// An extension that names none.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            "json" => Ok(Self::Json),
            "jsonl" => Ok(Self::JsonLines),
            "parquet" => Ok(Self::Parquet),
            other => Err(Error::input(
                path.display(),
                "a name that ends in .csv, .tsv, .json, .jsonl or .parquet",
                format!("{other:?}"),
                "choose one of these",
            )),
        }
    }
}

/// A prediction file that appears under its name only once it is whole.
pub struct PredictionFile {
    path: PathBuf,
    classes: Vec<String>,
    writer: Writer,
}

enum Writer {
    Separated(Box<csv::Writer<NamedTempFile>>),
    Json { file: BufWriter<NamedTempFile>, layout: JsonLayout },
    Parquet { writer: Box<SerializedFileWriter<File>>, file: NamedTempFile },
}

/// What stands around the objects.
struct JsonLayout {
    start: &'static str,
    /// Before the next object; after the first one, `between`.
    next: &'static str,
    between: &'static str,
    end: &'static str,
}

const ARRAY: JsonLayout = JsonLayout { start: "[", next: "\n", between: ",\n", end: "\n]\n" };
const LINES: JsonLayout = JsonLayout { start: "", next: "", between: "\n", end: "\n" };

impl PredictionFile {
    /// Begin the file at `path`, whose extension names the format.
    pub fn create(path: &Path, classes: &[String]) -> Result<Self> {
        let format = Format::of(path)?;
        let file = begin(path)?;
        let writer = match format {
            Format::Csv | Format::Tsv => {
                let delimiter = if format == Format::Csv { b',' } else { b'\t' };
                let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(file);
                writer.write_record(header()).map_err(csv_error(path))?;
                Writer::Separated(Box::new(writer))
            }
            Format::Json | Format::JsonLines => {
                let layout = if format == Format::Json { ARRAY } else { LINES };
                let mut file = BufWriter::new(file);
                file.write_all(layout.start.as_bytes()).map_err(Error::io(path, "write"))?;
                Writer::Json { file, layout }
            }
            Format::Parquet => {
                let schema = parse_message_type(&schema()).map_err(parquet_error(path))?;
                let target = file.reopen().map_err(Error::io(path, "create"))?;
                let properties = Arc::new(WriterProperties::builder().build());
                let writer = SerializedFileWriter::new(target, Arc::new(schema), properties)
                    .map_err(parquet_error(path))?;
                Writer::Parquet { writer: Box::new(writer), file }
            }
        };
        Ok(Self { path: path.to_path_buf(), classes: classes.to_vec(), writer })
    }

    /// Add the cells `names` with their answers.
    pub fn append(&mut self, names: &[String], answers: &[Answer]) -> Result<()> {
        let (path, classes) = (&self.path, &self.classes);
        match &mut self.writer {
            Writer::Separated(writer) => {
                for (name, answer) in names.iter().zip(answers) {
                    writer.write_record(record(name, answer, classes)).map_err(csv_error(path))?;
                }
            }
            Writer::Json { file, layout } => {
                for (name, answer) in names.iter().zip(answers) {
                    write!(file, "{}{}", layout.next, object(name, answer, classes))
                        .map_err(Error::io(path, "write"))?;
                    layout.next = layout.between;
                }
            }
            Writer::Parquet { writer, .. } => {
                append_row_group(writer, names, answers, classes).map_err(parquet_error(path))?;
            }
        }
        Ok(())
    }

    /// Finish the file and give it its name.
    pub fn finish(self) -> Result<()> {
        let path = self.path;
        let file = match self.writer {
            Writer::Separated(writer) => writer
                .into_inner()
                .map_err(|error| Error::io(&path, "write")(error.into_error()))?,
            Writer::Json { mut file, layout } => {
                file.write_all(layout.end.as_bytes()).map_err(Error::io(&path, "write"))?;
                file.into_inner().map_err(|error| Error::io(&path, "write")(error.into_error()))?
            }
            Writer::Parquet { writer, file } => {
                writer.close().map_err(parquet_error(&path))?;
                file
            }
        };
        put(file, &path)
    }
}

/// The label of an answer: its class, or unknown.
pub fn label<'a>(answer: &Answer, classes: &'a [String]) -> &'a str {
    if answer.unknown { UNKNOWN } else { &classes[answer.class] }
}

fn header() -> Vec<String> {
    let mut header: Vec<String> = ["cell", "cell_type", "confidence"].map(String::from).to_vec();
    for place in 1..=TOP {
        header.extend([format!("top_{place}"), format!("probability_{place}")]);
    }
    header
}

fn record(name: &str, answer: &Answer, classes: &[String]) -> Vec<String> {
    let mut record =
        vec![name.to_string(), label(answer, classes).to_string(), answer.confidence.to_string()];
    for (class, probability) in &answer.top {
        record.extend([classes[*class].clone(), probability.to_string()]);
    }
    record.resize(3 + 2 * TOP, String::new());
    record
}

fn object(name: &str, answer: &Answer, classes: &[String]) -> serde_json::Value {
    let top: Vec<_> = answer
        .top
        .iter()
        .map(|(class, p)| serde_json::json!({ "cell_type": classes[*class], "probability": p }))
        .collect();
    serde_json::json!({
        "cell": name,
        "cell_type": label(answer, classes),
        "confidence": answer.confidence,
        "top": top,
    })
}

fn schema() -> String {
    let mut fields = String::from(
        "required binary cell (UTF8); required binary cell_type (UTF8); required float confidence;",
    );
    for place in 1..=TOP {
        fields.push_str(&format!(
            " optional binary top_{place} (UTF8); optional float probability_{place};"
        ));
    }
    format!("message predictions {{ {fields} }}")
}

fn append_row_group(
    writer: &mut SerializedFileWriter<File>,
    names: &[String],
    answers: &[Answer],
    classes: &[String],
) -> parquet::errors::Result<()> {
    let mut group = writer.next_row_group()?;
    let text = |text: &str| ByteArray::from(text.as_bytes().to_vec());
    let cells: Vec<ByteArray> = names.iter().map(|name| text(name)).collect();
    write_column::<ByteArrayType>(&mut group, &cells, None)?;
    let labels: Vec<ByteArray> = answers.iter().map(|one| text(label(one, classes))).collect();
    write_column::<ByteArrayType>(&mut group, &labels, None)?;
    let confidence: Vec<f32> = answers.iter().map(|answer| answer.confidence).collect();
    write_column::<FloatType>(&mut group, &confidence, None)?;
    for place in 0..TOP {
        // With fewer classes than places the last columns are empty.
        let defined: Vec<i16> =
            answers.iter().map(|answer| i16::from(place < answer.top.len())).collect();
        let at_place = || answers.iter().filter_map(|answer| answer.top.get(place));
        let types: Vec<ByteArray> = at_place().map(|(class, _)| text(&classes[*class])).collect();
        write_column::<ByteArrayType>(&mut group, &types, Some(&defined))?;
        let probabilities: Vec<f32> = at_place().map(|(_, probability)| *probability).collect();
        write_column::<FloatType>(&mut group, &probabilities, Some(&defined))?;
    }
    group.close()?;
    Ok(())
}

fn write_column<T: DataType>(
    group: &mut parquet::file::writer::SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
    defined: Option<&[i16]>,
) -> parquet::errors::Result<()> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, defined, None)?;
        column.close()?;
    }
    Ok(())
}

fn csv_error(path: &Path) -> impl FnOnce(csv::Error) -> Error {
    let path = path.to_path_buf();
    move |error| Error::io(path, "write")(std::io::Error::other(error))
}

fn parquet_error(path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> Error {
    let path = path.to_path_buf();
    move |error| Error::io(path, "write")(std::io::Error::other(error))
}
