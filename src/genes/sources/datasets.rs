//! Gene reports of NCBI Datasets: the REST answer (`{"reports": [{"gene": {…}}]}`), a list, or the
//! `data_report.jsonl` of a download. Keys are snake_case in the one and camelCase in the other.

use std::io::BufRead;
use std::path::Path;

use serde_json::Value;

use crate::genes::clean::clean;
use crate::genes::names::{GeneNames, is_ensembl_gene, strip_version};
use crate::genes::record::{GeneRecord, GeneRecords};
use crate::genes::species::Species;
use crate::genes::text_file::{open_text, read_text, unreadable};
use crate::{Error, Result};

/// Read gene reports; those of other species are passed over.
pub(super) fn read(records: &mut GeneRecords, path: &Path) -> Result<()> {
    let mut others = 0;
    let mut take = |report: &Value, place: &str| -> Result<()> {
        let gene = report.get("gene").unwrap_or(report);
        if get(gene, "tax_id")
            .and_then(number)
            .is_some_and(|id| id != u64::from(records.species().tax_id()))
        {
            others += 1;
            return Ok(());
        }
        let record = record(records.species(), gene).ok_or_else(|| {
            Error::input(
                place,
                "a gene report with gene_id and symbol",
                excerpt(gene),
                "see NCBI Datasets",
            )
        })?;
        records.add(record);
        Ok(())
    };
    if is_one_document(path)? {
        let document: Value = serde_json::from_str(&read_text(path)?)
            .map_err(|error| Error::input(path.display(), "JSON", error, "get the file again"))?;
        let reports =
            document.get("reports").or_else(|| document.get("genes")).unwrap_or(&document);
        let single = std::slice::from_ref(reports);
        for report in reports.as_array().map_or(single, Vec::as_slice) {
            take(report, &path.display().to_string())?;
        }
    } else {
        for (at, line) in open_text(path)?.lines().enumerate() {
            let line = line.map_err(unreadable(path))?;
            let place = format!("{}: line {}", path.display(), at + 1);
            if line.trim().is_empty() {
                continue;
            }
            let report: Value = serde_json::from_str(&line)
                .map_err(|error| Error::input(&place, "JSON", error, "get the file again"))?;
            take(&report, &place)?;
        }
    }
    records.require_some(path, others)
}

/// Whether the file is one JSON document rather than one a line.
fn is_one_document(path: &Path) -> Result<bool> {
    let mut first = String::new();
    open_text(path)?.read_line(&mut first).map_err(unreadable(path))?;
    let first = first.trim_start_matches('\u{feff}').trim();
    let whole = serde_json::from_str::<Value>(first).ok();
    Ok(whole.is_none_or(|value| value.is_array() || value.get("reports").is_some()))
}

fn record(species: Species, gene: &Value) -> Option<GeneRecord> {
    let symbol = get(gene, "symbol")?.as_str()?.trim();
    let id = get(gene, "gene_id").and_then(number)?;
    if symbol.is_empty() {
        return None;
    }
    let mut record = GeneRecord::new(species, GeneNames::new(symbol));
    record.gene_id = Some(id);
    texts(gene, "synonyms").for_each(|name| record.add_alias(name.to_string()));
    let mut ids: Vec<&str> =
        texts(gene, "ensembl_gene_ids").filter(|id| is_ensembl_gene(id)).collect();
    ids.dedup();
    let mut ids = ids.into_iter().map(|id| strip_version(id).to_string());
    record.names.ensembl = ids.next();
    ids.for_each(|id| record.add_alias(id));
    record.full_name = text(gene, "description");
    record.gene_type = text(gene, "type").to_lowercase().replace('_', "-");
    if let Some(authority) = get(gene, "nomenclature_authority") {
        let (who, what) = (text(authority, "authority"), text(authority, "identifier"));
        if !what.is_empty() {
            record.primary_source = format!("{who}:{what}");
        }
    }
    let ensembl = record.names.ensembl.iter().map(|id| format!("Ensembl:{id}"));
    let omim = texts(gene, "omim_ids").map(|id| format!("MIM:{id}"));
    record.see_related = ensembl.chain(omim).collect::<Vec<_>>().join("; ");
    record.summary = summary(gene);
    Some(record)
}

/// The summary: a text, or a list of texts with their sources of which RefSeq's goes first.
fn summary(gene: &Value) -> String {
    let Some(value) = get(gene, "summary") else { return String::new() };
    if let Some(text) = value.as_str() {
        return clean(text);
    }
    let all = value.as_array().map_or(&[][..], Vec::as_slice);
    let is_refseq = |item: &&Value| text(item, "source").eq_ignore_ascii_case("refseq");
    let item = all.iter().find(is_refseq).or(all.first());
    item.map(|item| text(item, "description")).unwrap_or_default()
}

/// The value of a key in snake_case or in camelCase.
fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.get(key).or_else(|| {
        let mut words = key.split('_');
        let mut camel = words.next().unwrap_or_default().to_string();
        for word in words {
            let (first, rest) = word.split_at(1);
            camel.push_str(&first.to_uppercase());
            camel.push_str(rest);
        }
        value.get(camel)
    })
}

fn text(value: &Value, key: &str) -> String {
    clean(get(value, key).and_then(Value::as_str).unwrap_or_default())
}

fn texts<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    get(value, key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

fn excerpt(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}
