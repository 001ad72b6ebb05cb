//! Tables of known markers, in the layouts that people have.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use calamine::{Data, Reader, Xlsx};
use flate2::read::MultiGzDecoder;

use crate::genes::Species;
use crate::{Error, Result};

/// A cell type and the genes that mark it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellTypeMarkers {
    /// Name of the type.
    pub name: String,
    /// Genes in capitals, in alphabetical order.
    pub genes: Vec<String>,
}

/// Cell types with their markers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// The types, in alphabetical order.
    pub types: Vec<CellTypeMarkers>,
    /// What is to be known of how it was read.
    pub notes: Vec<String>,
}

/// Columns of a layout, in lower case; the first that a table has is taken.
struct Layout {
    types: &'static [&'static str],
    genes: &'static [&'static str],
    species: &'static [&'static str],
    tissue: &'static [&'static str],
    /// A column that says `negative` of genes that are not expressed.
    sign: &'static str,
}

/// PanglaoDB; CellMarker 2 by tissue; the Cell Marker Accordion; Azimuth; ScType; scCATCH; a plain table.
const LAYOUT: Layout = Layout {
    types: &[
        "cell type",
        "ct",
        "cl_celltype",
        "expanded label",
        "cellname",
        "celltype",
        "cell_type",
        "cell_name",
    ],
    genes: &[
        "official gene symbol",
        "gene",
        "marker",
        "markers",
        "genesymbolmore1",
        "genes",
        "symbol",
    ],
    species: &["species"],
    tissue: &["organ", "tissue", "original_tissue", "tissuetype", "tissue_type"],
    sign: "marker_type",
};

impl Catalogue {
    /// Read tables and join them, of a species where one is given, and of a tissue unless it is empty; where no row is
    /// of the tissue, rows of all tissues are taken and a note says so.
    ///
    /// # Errors
    /// A file that cannot be read, or that has no columns of types and genes.
    pub fn read(
        paths: &[impl AsRef<Path>],
        species: Option<Species>,
        tissue: &str,
    ) -> Result<Self> {
        let mut rows = Vec::new();
        for path in paths {
            rows.extend(read_rows(path.as_ref())?);
        }
        rows.retain(|row| species.is_none_or(|species| row.is_of(species)));
        let mut notes = Vec::new();
        if !tissue.is_empty() {
            match rows.iter().any(|row| row.is_from(tissue)) {
                true => rows.retain(|row| row.is_from(tissue)),
                false => notes.push(format!(
                    "the marker table has no tissue like '{tissue}': types of all tissues were considered"
                )),
            }
        }
        let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows {
            types.entry(row.cell_type).or_default().extend(row.genes);
        }
        let types = types.into_iter().map(|(name, mut genes)| {
            genes.sort_unstable();
            genes.dedup();
            CellTypeMarkers { name, genes }
        });
        let types: Vec<CellTypeMarkers> = types.filter(|one| !one.genes.is_empty()).collect();
        if types.is_empty() {
            let places: Vec<String> =
                paths.iter().map(|path| path.as_ref().display().to_string()).collect();
            let species = species.map_or("any species".to_owned(), |species| species.to_string());
            let expected = format!("markers of {species}");
            let remedy = "name another table or another species";
            return Err(Error::input(places.join(", "), expected, "none", remedy));
        }
        Ok(Self { types, notes })
    }
}

struct Row {
    cell_type: String,
    genes: Vec<String>,
    species: String,
    tissue: String,
}

impl Row {
    /// A row without a species is of all.
    fn is_of(&self, species: Species) -> bool {
        let words = match species {
            Species::Human => ["human", "hs", "homo sapiens"],
            Species::Mouse => ["mouse", "mm", "mus musculus"],
        };
        let said = self.species.to_lowercase();
        said.is_empty()
            || words.contains(&said.as_str())
            || said.split_whitespace().any(|word| words.contains(&word))
    }

    fn is_from(&self, tissue: &str) -> bool {
        let (said, asked) = (self.tissue.to_lowercase(), tissue.to_lowercase());
        // Blood is what people call these cells by.
        let asked = match asked.as_str() {
            "pbmc" | "pbmcs" | "blood" => vec!["blood", "immune"],
            other => vec![other],
        };
        asked.iter().any(|asked| said.contains(asked))
    }
}

fn read_rows(path: &Path) -> Result<Vec<Row>> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "open"))?;
    let table =
        if bytes.starts_with(b"PK\x03\x04") { workbook(&bytes) } else { text(path, bytes)? };
    let table = table.map_err(|found| refuse(path, "a table", found))?;
    let mut table = table.into_iter();
    let header: Vec<String> =
        table.next().unwrap_or_default().iter().map(|name| name.to_lowercase()).collect();
    let column = |names: &[&str]| names.iter().find_map(|n| header.iter().position(|h| h == n));
    let (Some(of_type), Some(of_genes)) = (column(LAYOUT.types), column(LAYOUT.genes)) else {
        let found: String = header.join(", ").chars().take(120).collect();
        return Err(refuse(path, "columns of cell types and of genes", format!("[{found}]")));
    };
    let [of_species, of_tissue] = [LAYOUT.species, LAYOUT.tissue].map(column);
    let of_sign = column(&[LAYOUT.sign]);
    let mut rows = Vec::new();
    for row in table {
        let at = |column: Option<usize>| {
            column.and_then(|column| row.get(column)).cloned().unwrap_or_default()
        };
        if at(of_sign).eq_ignore_ascii_case("negative") {
            continue;
        }
        let genes = at(Some(of_genes));
        let genes = genes.split(',').map(|gene| gene.trim().to_uppercase());
        let genes: Vec<String> = genes.filter(|gene| !gene.is_empty()).collect();
        let cell_type = at(Some(of_type));
        if !cell_type.is_empty() && !genes.is_empty() {
            rows.push(Row { cell_type, genes, species: at(of_species), tissue: at(of_tissue) });
        }
    }
    Ok(rows)
}

/// Rows of trimmed entries, or what is there instead of a table.
type Table = std::result::Result<Vec<Vec<String>>, String>;

/// The rows of a csv or tsv, gzipped or not.
fn text(path: &Path, bytes: Vec<u8>) -> Result<Table> {
    let bytes = match bytes.starts_with(&[0x1f, 0x8b]) {
        false => bytes,
        true => {
            let mut text = Vec::new();
            let decoded = MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut text);
            decoded.map_err(Error::io(path, "read"))?;
            text
        }
    };
    let first = bytes.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
    let delimiter = if first.contains(&b'\t') { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader(bytes.as_slice());
    let entry = |entry: &[u8]| String::from_utf8_lossy(entry).trim().to_owned();
    let row = |record: std::result::Result<csv::ByteRecord, csv::Error>| {
        record.map(|record| record.iter().map(entry).collect()).map_err(|error| error.to_string())
    };
    Ok(reader.byte_records().map(row).collect())
}

/// The rows of the first sheet of an Excel workbook, as ScType's tables are published.
fn workbook(bytes: &[u8]) -> Table {
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let sheet = workbook.worksheet_range_at(0).ok_or("a workbook without sheets")?;
    let sheet = sheet.map_err(|error| error.to_string())?;
    let row = |row: &[Data]| row.iter().map(|entry| entry.to_string().trim().to_owned()).collect();
    Ok(sheet.rows().map(row).collect())
}

fn refuse(path: &Path, expected: &str, found: String) -> Error {
    let remedy = "a table of PanglaoDB, CellMarker, the Marker Accordion, Azimuth or ScType, or one with columns \
                  cell_type and gene";
    Error::input(path.display(), expected, found, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(text: &str, species: Option<Species>, tissue: Option<&str>) -> Result<Catalogue> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        std::fs::write(&path, text).unwrap();
        Catalogue::read(&[&path], species, tissue.unwrap_or_default())
    }

    fn as_text(catalogue: &Catalogue) -> String {
        let one = |one: &CellTypeMarkers| format!("{}={}", one.name, one.genes.join("+"));
        catalogue.types.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn layouts_are_told_by_their_columns() {
        let panglao = "species\tofficial gene symbol\tcell type\torgan\nMm Hs\tCd3d\tT cells\tImmune system\n\
                       Mm\tXcl1\tT cells\tImmune system\nHs\tCTRB1\tAcinar cells\tPancreas\n";
        let human = catalogue(panglao, Some(Species::Human), None).unwrap();
        assert_eq!(as_text(&human), "Acinar cells=CTRB1 T cells=CD3D");
        let blood = catalogue(panglao, None, Some("PBMC")).unwrap();
        assert_eq!((as_text(&blood).as_str(), blood.notes.len()), ("T cells=CD3D+XCL1", 0));
        let other = catalogue(panglao, None, Some("moon")).unwrap();
        assert_eq!((other.types.len(), other.notes.len()), (2, 1));
        let cell_marker = "Tissue,CT,Gene\nBlood,Monocyte,\"CD14,LYZ\"\n";
        assert_eq!(
            as_text(&catalogue(cell_marker, Some(Species::Mouse), None).unwrap()),
            "Monocyte=CD14+LYZ"
        );
        let accordion = "species\tCL_celltype\tmarker\tmarker_type\nHuman\tB cell\tMS4A1\tpositive\n\
                         Human\tB cell\tCD3D\tnegative\n";
        assert_eq!(as_text(&catalogue(accordion, None, None).unwrap()), "B cell=MS4A1");
        let plain = "cell_type,gene\nB,MS4A1\nB,CD79A\nB,MS4A1\n";
        assert_eq!(as_text(&catalogue(plain, None, None).unwrap()), "B=CD79A+MS4A1");
    }

    #[test]
    fn sctypes_workbook_is_read_as_it_is_published() {
        let shared = std::env::var("SCREADER_SHARED").unwrap_or_else(|_| "../shared".to_owned());
        let path = Path::new(&shared).join("data/common/markers/ScTypeDB_short.xlsx");
        if !path.is_file() {
            eprintln!("skipped: no {}", path.display());
            return;
        }
        let found = Catalogue::read(&[&path], None, "Immune system").unwrap();
        let naive = found.types.iter().find(|one| one.name == "Naive B cells").unwrap();
        assert!(naive.genes.contains(&"CD19".to_owned()), "{naive:?}");
        assert!(found.notes.is_empty() && found.types.len() > 20, "{}", found.types.len());
    }

    #[test]
    fn a_table_of_something_else_is_refused() {
        for text in ["", "a,b\n1,2\n", "cell_type,gene\n,\n", "PK\u{3}\u{4}no workbook"] {
            let error = catalogue(text, None, None).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{text:?}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
