//! Gene files in, description tables out.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};

use screader::Error;
use screader::genes::{
    Build, Completer, DescriptionTable, GeneRecords, MissingPolicy, Orthologs, SourceKind, Species,
    Template, TextSource,
};

const GENE_INFO: &str = "\
#tax_id\tGeneID\tSymbol\tLocusTag\tSynonyms\tdbXrefs\tchromosome\tmap_location\tdescription\t\
type_of_gene\tSymbol_from_nomenclature_authority\tFull_name_from_nomenclature_authority\t\
Nomenclature_status\tOther_designations\tModification_date\tFeature_type
9606\t7157\tTP53\t-\tBCC7|LFS1|P53\tMIM:191170|HGNC:HGNC:11998|Ensembl:ENSG00000141510.18|\
AllianceGenome:HGNC:11998\t17\t17p13.1\ttumor protein p53\tprotein-coding\tTP53\t\
tumor protein p53\tO\tcellular tumor antigen p53\t20240101\t-
9606\t4535\tND1\t-\tMTND1\tHGNC:HGNC:7455\tMT\t-\tNADH dehydrogenase subunit 1\tprotein-coding\t\
MT-ND1\tmitochondrially encoded NADH dehydrogenase 1\tO\t-\t20240101\t-
10090\t22059\tTrp53\t-\tp53\tMGI:MGI:98834\t11\t-\ttransformation related protein 53\t\
protein-coding\tTrp53\ttransformation related protein 53\tO\t-\t20240101\t-
";

const SUMMARIES: &str = "\
#tax_id\tGeneID\tSource\tSummary
9606\t7157\tAlliance of Genome Resources\tEnables DNA binding.
9606\t7157\tRefSeq\tThis gene encodes a tumor suppressor. [provided by RefSeq, Jul 2016].
10090\t22059\tRefSeq\tOf the mouse.
";

const HISTORY: &str = "\
#tax_id\tGeneID\tDiscontinued_GeneID\tDiscontinued_Symbol\tDiscontinue_Date
9606\t111\t222\tOLDEST\t20100101
9606\t7157\t111\tOLDER\t20110101
9606\t-\t333\tGONE\t20110101
10090\t22059\t444\tMouseOld\t20110101
";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn put(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn read(species: Species, paths: &[PathBuf]) -> screader::Result<GeneRecords> {
    let mut records = GeneRecords::new(species);
    records.read_all(paths).map(|()| records)
}

#[test]
fn gene_info_summaries_and_history_meet_by_gene_id() {
    let folder = folder();
    let summaries = put(folder.path(), "gene_summary", SUMMARIES);
    let history = put(folder.path(), "gene_history", HISTORY);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(GENE_INFO.as_bytes()).unwrap();
    let info = folder.path().join("gene_info.gz");
    std::fs::write(&info, gzip.finish().unwrap()).unwrap();
    // Given in the wrong order on purpose.
    let records = read(Species::Human, &[history, summaries, info]).unwrap();
    assert_eq!((records.len(), records.with_summary()), (2, 1));
    let p53 = &records.genes()[0];
    assert_eq!(p53.gene_id, Some(7157));
    assert_eq!(p53.summary, "This gene encodes a tumor suppressor.");
    assert_eq!(p53.names.ensembl.as_deref(), Some("ENSG00000141510"));
    assert_eq!(p53.names.aliases, ["BCC7", "LFS1", "P53"]);
    assert_eq!(p53.names.retired, ["OLDEST", "OLDER"]);
    assert_eq!(p53.primary_source, "HGNC:HGNC:11998");
    assert_eq!(
        p53.see_related,
        "MIM:191170; Ensembl:ENSG00000141510.18; AllianceGenome:HGNC:11998"
    );
    let nd1 = &records.genes()[1];
    assert_eq!(nd1.names.symbol, "MT-ND1", "the nomenclature authority's symbol goes first");
    assert_eq!(nd1.names.aliases, ["ND1", "MTND1"]);
}

#[test]
fn mitochondrial_genes_get_the_names_that_data_sets_use() {
    let folder = folder();
    let table = "tax_id\tGeneID\tSymbol\tdescription\n\
                 10090\t17708\tCOX1\tcytochrome c oxidase I, mitochondrial\n\
                 10090\t1\tCOX2\tnothing of the kind\n";
    let records = read(Species::Mouse, &[put(folder.path(), "t.tsv", table)]).unwrap();
    assert_eq!(records.genes()[0].names.aliases, ["mt-Co1"]);
    assert!(records.genes()[1].names.aliases.is_empty());
}

#[test]
fn datasets_reports_read_alike_as_answer_and_as_lines() {
    let folder = folder();
    let answer = r#"{"reports": [{"gene": {"gene_id": "7157", "symbol": "TP53", "tax_id": "9606",
        "description": "tumor protein p53", "type": "PROTEIN_CODING", "synonyms": ["P53"],
        "ensembl_gene_ids": ["ENSG00000141510"], "omim_ids": ["191170"],
        "nomenclature_authority": {"authority": "HGNC", "identifier": "HGNC:11998"},
        "summary": [{"source": "Alliance", "description": "Other."},
                    {"source": "RefSeq", "description": "Suppressor. [provided by RefSeq]"}]}}]}"#;
    let line = r#"{"geneId": 7157, "symbol": "TP53", "taxId": 9606, "description": "tumor protein p53", "type": "PROTEIN_CODING", "synonyms": ["P53"], "ensemblGeneIds": ["ENSG00000141510"], "omimIds": ["191170"], "nomenclatureAuthority": {"authority": "HGNC", "identifier": "HGNC:11998"}, "summary": "Suppressor."}
{"geneId": 22059, "symbol": "Trp53", "taxId": 10090}
"#;
    let one = read(Species::Human, &[put(folder.path(), "a.json", answer)]).unwrap();
    let other = read(Species::Human, &[put(folder.path(), "b.jsonl", line)]).unwrap();
    assert_eq!(one.genes(), other.genes());
    let gene = &one.genes()[0];
    assert_eq!(gene.gene_type, "protein-coding");
    assert_eq!(gene.summary, "Suppressor.");
    assert_eq!(gene.primary_source, "HGNC:HGNC:11998");
}

#[test]
fn gencode_lends_ids_and_settles_whose_an_id_is() {
    let folder = folder();
    let table = "GeneID\tSymbol\tensembl\n1\tFEZ1\tENSG00000149557\n2\tSTT3A-AS1\tENSG00000149557\n\
                 3\tNEWNAME\tENSG00000000003\n4\tLONE\t\n";
    let gencode = "ENSG00000149557,FEZ1,16,900,protein_coding\n\
                   ENSG00000000003.4,OLDNAME,1,9,lncRNA\nENSG00000000004,LONE,1,9,lncRNA\n";
    let files = [put(folder.path(), "t.tsv", table), put(folder.path(), "g.csv", gencode)];
    let records = read(Species::Human, &files).unwrap();
    let ids: Vec<_> = records.genes().iter().map(|gene| gene.names.ensembl.as_deref()).collect();
    assert_eq!(
        ids,
        [Some("ENSG00000149557"), None, Some("ENSG00000000003"), Some("ENSG00000000004")]
    );
    assert_eq!(records.genes()[2].names.aliases, ["OLDNAME"]);
}

#[test]
fn what_cannot_be_read_is_refused_in_one_line_that_names_the_place() {
    let folder = folder();
    let cases = [
        ("other species", "tax_id\tGeneID\tSymbol\n7227\t1\tfoo\n", "1 genes of other species"),
        ("short row", "GeneID\tSymbol\n1\tA\n2\n", "line 3"),
        ("no number", "GeneID\tSymbol\nx\tA\n", "line 2"),
        ("no table", "hello world\n", "hello world"),
        ("empty", "", "file that begins"),
        ("cut JSON", "{\"reports\": [", "JSON"),
    ];
    for (name, text, expected) in cases {
        let error = read(Species::Human, &[put(folder.path(), name, text)]).unwrap_err();
        let line = error.to_string();
        assert!(line.contains(name) && line.contains(expected), "{name}: {line}");
        assert!(!line.contains('\n') && error.exit_code() == 2, "{name}: {line}");
    }
    let missing = read(Species::Human, &[folder.path().join("nowhere")]).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }));
    let mut gzip = vec![0x1f, 0x8b, 8, 0];
    gzip.extend([7; 40]);
    std::fs::write(folder.path().join("broken.gz"), gzip).unwrap();
    assert!(SourceKind::of(&folder.path().join("broken.gz")).is_err());
}

#[test]
fn templates_fill_fields_and_name_what_they_do_not_know() {
    let folder = folder();
    let records = read(Species::Human, &[put(folder.path(), "i", GENE_INFO)]).unwrap();
    let p53 = &records.genes()[0];
    let seven = Template::screader_7().unwrap();
    let text = seven.fill(p53);
    assert!(
        text.starts_with("Official Symbol: TP53\nOfficial Full Name: tumor protein p53\nGene t")
    );
    assert!(!text.contains("Summary") && !text.contains("Expression"), "{text}");
    assert_eq!(seven.clone().keep_empty(true).fill(p53).lines().count(), 7);
    assert!(seven.keep_empty(true).fill(p53).ends_with("\nSummary: "));
    let eleven = Template::screader_11().unwrap().keep_empty(true).fill(p53);
    assert_eq!(eleven.lines().count(), 11);
    assert!(eleven.contains("\nAlso known as: BCC7; LFS1; P53\n"), "{eleven}");
    let own = Template::parse("own", "{{{symbol}}} of {species}\n{summary}").unwrap();
    assert_eq!(own.fill(p53), "{TP53} of human");

    let error = Template::parse("mine.txt", "{symbol}\n{sumary}").unwrap_err().to_string();
    assert!(error.contains("mine.txt: line 2") && error.contains("{sumary}"), "{error}");
    for bad in ["{symbol", "symbol}", "no field at all", ""] {
        assert!(Template::parse("bad", bad).is_err(), "{bad}");
    }
    assert!(Template::open("/no/such/template").is_err());
}

#[test]
fn missing_policies_are_checked_when_they_are_read() {
    let read = |text: &str| text.parse::<MissingPolicy>().map(|policy| policy.to_string());
    assert_eq!(read("ortholog").unwrap(), "ortholog,fields");
    assert_eq!(read("chat, zeros").unwrap(), "chat,zeros");
    assert!(read("zeros,chat").unwrap_err().contains("never reached"));
    assert!(read("ortholog,ortholog").unwrap_err().contains("twice"));
    assert!(read("mean").unwrap_err().contains("species_mean"));
}

struct Echo(usize);

impl Completer for Echo {
    fn complete(&mut self, prompt: &str) -> screader::Result<String> {
        self.0 += 1;
        Ok(format!("Asked: {prompt}"))
    }

    fn model(&self) -> &str {
        "echo"
    }
}

#[test]
fn missing_summaries_come_from_where_the_policy_says() {
    let folder = folder();
    let mouse = "GeneID\tSymbol\tfull_name\tsummary\n1\tOwn1\tone\tOf its own.\n2\tTrp53\ttwo\t\n\
                 3\tMany1\tthree\t\n4\tLone\tfour\t\n";
    let human = "GeneID\tSymbol\tsummary\n7\tTP53\tOf the human.\n8\tMANY1\tOf many.\n";
    let mouse = read(Species::Mouse, &[put(folder.path(), "m", mouse)]).unwrap();
    let human = read(Species::Human, &[put(folder.path(), "h", human)]).unwrap();
    let pairs = Orthologs::from_pairs([("TP53", "Trp53"), ("MANY1", "Many1"), ("MANY1", "Many2")]);
    let mut echo = Echo(0);
    let mut build = |missing: &str, asks: bool| {
        let build = Build {
            template: Template::parse("t", "{symbol}: {summary}").unwrap(),
            missing: missing.parse().unwrap(),
            orthologs: Some(&pairs),
            other_species: Some(&human),
            completer: asks.then_some(&mut echo as &mut dyn Completer),
            prompt: Template::completion_prompt().unwrap(),
        };
        build.run(&mouse)
    };
    let sources = |table: &DescriptionTable| {
        table.genes.iter().map(|gene| gene.source.to_string()).collect::<Vec<_>>()
    };
    let table = build("ortholog,chat", true).unwrap();
    assert_eq!(sources(&table), ["own", "ortholog:TP53", "completed", "completed"]);
    assert_eq!(table.genes[1].text, "Trp53: Of the human.");
    assert_eq!(
        table.genes[3].text,
        "Lone: Asked: Please provide a detailed description of the functions, distribution, and \
         expression of mouse gene Lone as much as possible"
    );
    assert_eq!(table.made_with["completion_model"], "echo");
    let table = build("ortholog,zeros", false).unwrap();
    assert_eq!(sources(&table), ["own", "ortholog:TP53", "none", "none"]);
    assert_eq!(table.genes[3].text, "");
    assert_eq!(table.missing_embedding(), Some("zeros"));
    let table = build("fields", false).unwrap();
    assert_eq!(sources(&table), ["own", "fields", "fields", "fields"]);
    assert_eq!(table.missing_embedding(), None);
    assert!(build("chat", false).unwrap_err().to_string().contains("--chat-model"));
    assert_eq!(echo.0, 2, "a model is asked only where the policy names it");
}

#[test]
fn description_tables_come_back_as_they_were_written() {
    let folder = folder();
    let records = read(Species::Human, &[put(folder.path(), "i", GENE_INFO)]).unwrap();
    let build = Build {
        template: Template::parse("odd \\ name", "{symbol}\t\\n\\\n{full_name}").unwrap(),
        missing: "fields".parse().unwrap(),
        orthologs: None,
        other_species: None,
        completer: None,
        prompt: Template::completion_prompt().unwrap(),
    };
    let mut table = build.run(&records).unwrap();
    table.genes[1].source = TextSource::None;
    table.genes[1].text.clear();
    for name in ["genes.tsv", "genes.tsv.gz"] {
        let path = folder.path().join(name);
        table.write(&path).unwrap();
        assert_eq!(DescriptionTable::read(&path).unwrap(), table, "{name}");
    }
    assert!(std::fs::read(folder.path().join("genes.tsv.gz")).unwrap().starts_with(&[0x1f, 0x8b]));

    let text = std::fs::read_to_string(folder.path().join("genes.tsv")).unwrap();
    let broken = [
        ("another table", "symbol\ttext\nA\tB\n".to_string()),
        ("cut", text[..text.len() - 12].to_string()),
        ("source", text.replace("\tfields\t", "\tguessed\t")),
        ("species", text.replace("species: human", "species: worm")),
    ];
    for (name, text) in broken {
        let error = DescriptionTable::read(&put(folder.path(), name, &text)).unwrap_err();
        let line = error.to_string();
        assert!(line.contains(name) && line.contains("line "), "{name}: {line}");
    }
    let nowhere = folder.path().join("no/such/folder/genes.tsv");
    assert!(table.write(&nowhere).is_err());
}

#[test]
fn ortholog_tables_of_every_layout_read_alike() {
    let folder = folder();
    let layouts = [
        ("homologs.txt", "MOUSE_GENE_SYM\tHUMAN_GENE_SYM\nAcadm\tACADM\nCcl2\tCCL2\n"),
        ("Human2Mouse.csv", "ACADM,Acadm\nCCL2,Ccl2\nMT-TF,\n,Prodh\n"),
        ("Mouse2Human.csv", "Acadm,ACADM\nCcl2,CCL2\nProdh,\n"),
        ("biomart.csv", "Gene name,Mouse gene name\nACADM,Acadm\nCCL2,Ccl2\n"),
        (
            "nichenetr.tsv",
            "symbol\tentrez\tentrez_mouse\tsymbol_mouse\nACADM\t1\t2\tAcadm\nCCL2\t3\t4\tCcl2\n",
        ),
    ];
    let expected = Orthologs::from_pairs([("ACADM", "Acadm"), ("CCL2", "Ccl2")]);
    for (name, text) in layouts {
        assert_eq!(Orthologs::read(&put(folder.path(), name, text)).unwrap(), expected, "{name}");
    }
    for (name, text) in [("three.csv", "a,b,c\n"), ("none.csv", ""), ("halves.csv", "A,\n,b\n")] {
        let error = Orthologs::read(&put(folder.path(), name, text)).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn ncbi_orthologs_pair_ids_through_the_records() {
    let folder = folder();
    let info = put(folder.path(), "gene_info", GENE_INFO);
    let (human, mouse) = (
        read(Species::Human, std::slice::from_ref(&info)).unwrap(),
        read(Species::Mouse, &[info]).unwrap(),
    );
    let text = "#tax_id\tGeneID\trelationship\tOther_tax_id\tOther_GeneID\n\
                9606\t7157\tOrtholog\t10090\t22059\n9606\t7157\tOrtholog\t7955\t30590\n";
    let path = put(folder.path(), "gene_orthologs", text);
    assert!(Orthologs::is_by_id(&path).unwrap());
    let expected = Orthologs::from_pairs([("TP53", "Trp53")]);
    assert_eq!(Orthologs::read_by_id(&path, &human, &mouse).unwrap(), expected);
    assert_eq!(Orthologs::read_by_id(&path, &mouse, &human).unwrap(), expected);
}

/// One step of a generator (Knuth's MMIX), so that the damage is the same on every run.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn damaged_files_are_read_or_refused_and_never_panic() {
    let folder = folder();
    let info = put(folder.path(), "info", GENE_INFO);
    let table = "# screader gene descriptions: 1\n# species: human\ngene_id\tsymbol\tensembl\t\
                 aliases\tretired\tsource\ttext\n7\tTP53\t\tP53|LFS1\t\town\tA\\nB\n";
    let datasets = r#"[{"geneId": 7157, "symbol": "TP53", "taxId": 9606, "summary": ["x"]}]"#;
    let whole = [GENE_INFO, SUMMARIES, HISTORY, table, datasets, "ACADM,Acadm\nCCL2,Ccl2\n"];
    let mut state = 20_240_601;
    let (mut read_well, mut refused) = (0, 0);
    for round in 0..1_200 {
        let mut bytes = whole[round % whole.len()].as_bytes().to_vec();
        for _ in 0..=next(&mut state) % 4 {
            let at = next(&mut state) % bytes.len();
            match next(&mut state) % 4 {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] ^= 1 << (next(&mut state) % 8),
                2 => bytes[at] = b"\t\n|\\{\"-\0"[next(&mut state) % 8],
                _ => drop(bytes.splice(at..at, [0xc3, b'\t'])),
            }
        }
        let path = folder.path().join("damaged");
        std::fs::write(&path, &bytes).unwrap();
        let mut records = GeneRecords::new(Species::Human);
        let outcomes = [
            records.read_all(&[&info, &path]).err(),
            DescriptionTable::read(&path).err(),
            Orthologs::read(&path).err(),
        ];
        for outcome in outcomes {
            match outcome {
                Some(error) => {
                    refused += 1;
                    assert_eq!(error.exit_code(), 2, "{error}");
                    assert!(!error.to_string().contains('\n'), "{error}");
                }
                None => read_well += 1,
            }
        }
    }
    assert!(read_well > 100 && refused > 100, "{read_well} read, {refused} refused");
}
