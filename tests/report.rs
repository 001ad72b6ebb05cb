//! The report: whole, true to its numbers, and safe whatever the data are called.
//!
//! To look at the samples, name a folder: `SCREADER_REPORT_SAMPLE=/tmp/sample cargo test --test report`.

#![allow(clippy::unwrap_used)] // a test may fail by panicking

#[path = "report/sample.rs"]
mod sample;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use resvg::tiny_skia::Pixmap;
use screader::bench::summary::{Interval, MethodSummary, Role, SettingSummary, Summary};
use screader::report;
use tempfile::TempDir;

const STANDARD: (&str, &str, f64) = ("standard", "", 0.1);
const FEW_SHOT: [(&str, &str, f64); 5] = [
    ("few-shot", "1 cell a type", 0.8),
    ("few-shot", "2 cells a type", 0.6),
    ("few-shot", "5 cells a type", 0.4),
    ("few-shot", "10 cells a type", 0.3),
    ("few-shot", "20 cells a type", 0.2),
];

/// A report on disk, gone at the end unless it is to be looked at.
struct Written {
    folder: PathBuf,
    _guard: Option<TempDir>,
}

fn write(name: &str, summary: &Summary) -> Written {
    let (folder, guard) = match std::env::var_os("SCREADER_REPORT_SAMPLE") {
        Some(folder) => (Path::new(&folder).join(name), None),
        None => {
            let guard = tempfile::tempdir().unwrap();
            (guard.path().join("new").join(name), Some(guard))
        }
    };
    report::write(summary, &folder).unwrap();
    Written { folder, _guard: guard }
}

impl Written {
    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap()
    }

    fn page(&self) -> String {
        self.text("report.html")
    }

    fn figures(&self, extension: &str) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.folder.join("figures")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().unwrap() == extension)
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    }

    /// What holds of every report.
    fn check(&self) {
        let page = self.page();
        balanced(&page);
        alone(&page);
        let svgs = self.figures("svg");
        assert_eq!(svgs, self.figures("png"));
        for stem in &svgs {
            let svg = self.text(&format!("figures/{stem}.svg"));
            let tree = roxmltree::Document::parse(&svg).unwrap();
            let mut parts = tree.root_element().children();
            let title = parts.find(|one| one.tag_name().name() == "title");
            assert!(!title.unwrap().text().unwrap().is_empty(), "{stem}");
            assert!(tree.root_element().attribute("aria-label").is_some(), "{stem}");
            let attributes = tree.descendants().flat_map(|one| one.attributes());
            attributes.for_each(|one| assert!(!one.name().starts_with("on"), "{stem}"));
            assert!(!svg.contains("var("), "{stem} needs the page's style sheet");
            alone(&svg.replace("xmlns=\"http://www.w3.org/2000/svg\"", ""));
            self.not_blank(stem);
            assert!(page.contains(&format!("figures/{stem}.svg")), "{stem} is not in the page");
        }
        for part in page.split("<svg ").skip(1) {
            let svg = format!("<svg {}</svg>", part.split("</svg>").next().unwrap());
            roxmltree::Document::parse(&svg).unwrap();
        }
    }

    fn not_blank(&self, stem: &str) {
        let path = self.folder.join(format!("figures/{stem}.png"));
        let picture = Pixmap::load_png(path).unwrap();
        let inked = picture.pixels().iter().filter(|pixel| pixel.green() < 200).count();
        let part = inked as f64 / picture.pixels().len() as f64;
        assert!(inked > 300 && part < 0.9, "{stem}: {part} of the picture is inked");
        // Words are set too: the ink of text, which no other part of these drawings has in plenty.
        let words = picture.pixels().iter().filter(|pixel| pixel.red() < 0x70).count();
        assert!(words > 100, "{stem} has no words");
    }
}

/// Nothing is fetched from anywhere, and nothing runs.
fn alone(text: &str) {
    for word in ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "javascript:"] {
        let found = text.find(word).map(|at| text[at..].chars().take(80).collect::<String>());
        assert_eq!(found, None, "{word}");
    }
}

/// Every element is closed, in order, and no text holds a stray bracket or quote of markup.
fn balanced(page: &str) {
    const VOID: [&str; 2] = ["meta", "br"];
    let body = page.strip_prefix("<!doctype html>").unwrap();
    let style = body.find("<style>").unwrap()..body.find("</style>").unwrap();
    let body = format!("{}{}", &body[..style.start + 7], &body[style.end..]);
    let mut open: Vec<&str> = Vec::new();
    for part in body.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        assert!(!text.contains('>'), "{part}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        // Outside of quotes stand names of attributes only: none is a handler.
        let names = tag.split('"').step_by(2);
        names.for_each(|name| assert!(!name.contains(" on"), "{tag}"));
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{part}");
            continue;
        }
        let name = tag.split(|c: char| c.is_whitespace() || c == '/').next().unwrap();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{tag}");
        if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn method<'a>(setting: &'a mut SettingSummary, name: &str) -> &'a mut MethodSummary {
    setting.methods.iter_mut().find(|method| method.name == name).unwrap()
}

fn small() -> Summary {
    let settings = [STANDARD, ("disjoint-genes", "", 0.5), ("unseen-type", "", 0.15)];
    sample::summary("pbmc", &sample::classes(7), &settings)
}

#[test]
fn a_small_comparison_is_reported_whole() {
    let summary = small();
    let report = write("small", &summary);
    report.check();
    let figures = report.figures("svg");
    for stem in [
        "embeddings",
        "standard-macro-f1",
        "standard-confusion-screader",
        "standard-confusion-genept-w-knn",
        "standard-reliability-screader",
        "disjoint-genes-macro-f1",
    ] {
        assert!(figures.contains(stem), "{stem}: {figures:?}");
    }
    let page = report.page();
    let cannot = "cannot answer: no gene of the training cells is measured in the test cells";
    assert_eq!(page.matches(cannot).count(), 3);
    assert!(page.contains("AUROC of new types"));
    // Whoever tells new types better is said, whatever macro-F1 says.
    let novelty = |one: &MethodSummary| one.result.as_ref().unwrap().novelty.unwrap().auroc;
    let methods = &summary.settings[2].methods;
    let best = methods.iter().filter(|one| one.role == Role::Baseline);
    let best = best.max_by(|a, b| novelty(a).total_cmp(&novelty(b))).unwrap();
    let told = format!(
        "screader tells with an AUROC of {:.3}, the best baseline at that, {}, with {:.3}",
        novelty(&methods[0]),
        best.label,
        novelty(best)
    );
    assert_eq!(page.matches(&told).count(), 2, "{told}");
    for setting in &summary.settings {
        let best = setting.best_baseline.as_ref().unwrap();
        assert!(figures.contains(&format!("{}-confusion-{best}", setting.setting)));
        for method in &setting.methods {
            let Some(result) = &method.result else { continue };
            let score = result.macro_f1;
            let mean = format!("{:.3} <span class=\"aside\">± {:.3}</span>", score.mean, score.sd);
            assert!(page.contains(&mean), "{} {}: {mean}", setting.setting, method.name);
        }
    }
}

#[test]
fn methods_stand_by_falling_macro_f1() {
    let mut summary = sample::summary("pbmc", &sample::classes(5), &[STANDARD]);
    let setting = &mut summary.settings[0];
    for (number, method) in setting.methods.iter_mut().enumerate() {
        method.label = format!("method-{number}-of-many");
    }
    let mut order: Vec<(f64, String)> = setting
        .methods
        .iter()
        .map(|one| (one.result.as_ref().unwrap().macro_f1.mean, one.label.clone()))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let report = write("sorted", &summary);
    let page = report.page();
    let table = &page[page.find("Methods by macro-F1").unwrap()..];
    let table = &table[..table.find("</table>").unwrap()];
    let places: Vec<usize> = order.iter().map(|(_, label)| table.find(label).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn sixty_types_are_reported_whole() {
    let summary = sample::summary("lung_atlas", &sample::classes(60), &[STANDARD]);
    let report = write("sixty", &summary);
    report.check();
    // Sixty types, sixty colours, the same in the legend, the class table and the drawings.
    let page = report.page();
    let legend = &page[page.find("class=\"types legend\"").unwrap()..];
    let legend = &legend[..legend.find("</ul>").unwrap()];
    let swatch = |part: &str| part[..7].to_owned();
    let colours: Vec<String> = legend.split("background:").skip(1).map(swatch).collect();
    assert_eq!(colours.iter().collect::<BTreeSet<_>>().len(), 60);
    let common: Vec<String> = page[..page.find("<article>").unwrap()]
        .split("style=\"background:")
        .skip(1)
        .map(swatch)
        .collect();
    assert_eq!(colours, common);
    let scatter = report.text("figures/embeddings.svg");
    let confusion = report.text("figures/standard-confusion-screader.svg");
    assert!(colours.iter().all(|one| scatter.contains(one) && confusion.contains(one)));
}

#[test]
fn few_shot_is_one_figure_over_cells_a_type() {
    let summary = sample::summary("pbmc", &sample::classes(12), &FEW_SHOT);
    let report = write("few-shot", &summary);
    report.check();
    let figure = report.text("figures/few-shot-macro-f1-over-cells.svg");
    for method in &summary.settings[0].methods {
        assert!(figure.contains(&format!("{}</text>", method.label)), "{}", method.label);
    }
    let tree = roxmltree::Document::parse(&figure).unwrap();
    let words: Vec<&str> = tree.descendants().filter_map(|one| one.text()).collect();
    assert!(["1", "2", "5", "10", "20"].iter().all(|shots| words.contains(shots)));
    // One variant alone is no curve.
    let one = sample::summary("pbmc", &sample::classes(4), &FEW_SHOT[..1]);
    let report = write("one-shot", &one);
    report.check();
    assert!(!report.figures("svg").contains("few-shot-macro-f1-over-cells"));
}

#[test]
fn where_nothing_was_answered_the_report_says_so() {
    let mut summary = sample::summary("pbmc", &sample::classes(3), &[STANDARD]);
    summary.embeddings.clear();
    summary.settings[0].best_baseline = None;
    for method in &mut summary.settings[0].methods {
        method.result = None;
        method.cannot_answer = Some("no gene is known".to_owned());
    }
    let report = write("nothing", &summary);
    report.check();
    assert!(report.figures("svg").is_empty());
    let page = report.page();
    assert!(
        page.contains("<p class=\"answer\">screader cannot answer here: no gene is known.</p>")
    );
    assert_eq!(page.matches("cannot answer: no gene is known").count(), 13);

    summary.settings.clear();
    summary.data.types.clear();
    let report = write("empty", &summary);
    report.check();
    assert!(report.page().contains("<p class=\"answer\">Nothing was compared.</p>"));
}

#[test]
fn names_cannot_break_the_page() {
    let evil = "<script>alert('x')</script>\"&\n\u{1b}[31m";
    let mut classes = sample::classes(4);
    classes[0] = format!("{evil} T cell");
    classes[1] = "a".repeat(3000);
    classes[2] = "</style></title><img onerror=\"x\"> {{ 7 }}".to_owned();
    classes[3] = "μ-Zelle, 細胞, خلية".to_owned();
    let mut summary = sample::summary("pbmc", &classes, &[STANDARD, FEW_SHOT[0], FEW_SHOT[1]]);
    summary.title = evil.to_owned();
    summary.command = format!("screader bench --data '{evil}'");
    summary.notes.push(evil.to_owned());
    summary.data.path = evil.to_owned();
    summary.embeddings[0].label = evil.to_owned();
    summary.settings[0].question = evil.to_owned();
    summary.settings[0].setting = format!("../../{evil}");
    summary.settings[1].setting = summary.settings[0].setting.to_uppercase();
    for method in &mut summary.settings[0].methods {
        method.label = format!("{evil} {}", method.label);
        method.cannot_answer = Some(evil.to_owned());
    }
    method(&mut summary.settings[0], "screader").name = format!("../{evil}");
    let report = write("hostile", &summary);
    report.check();
    let page = report.page();
    assert!(!page.contains("<script") && !page.contains("<img"));
    assert!(page.contains("&#60;script") || page.contains("&lt;script"));
    assert!(page.contains("細胞") && page.contains("{{ 7 }}"));
    // Nothing was written beside the folder.
    let outside: Vec<_> = std::fs::read_dir(report.folder.parent().unwrap()).unwrap().collect();
    if report._guard.is_some() {
        assert_eq!(outside.len(), 1);
    }
    assert!(same(&report, &summary));
}

#[test]
fn tables_and_json_hold_the_numbers_of_the_summary() {
    let summary = small();
    let report = write("numbers", &summary);
    assert!(same(&report, &summary));

    let mut rows = table(&report, "methods.csv").into_iter();
    let mut classes = table(&report, "classes.csv").into_iter();
    let mut confusion = table(&report, "confusion.csv").into_iter();
    for setting in &summary.settings {
        for method in &setting.methods {
            let row = rows.next().unwrap();
            let of = |name: &str| row.iter().find(|(one, _)| one == name).unwrap().1.clone();
            assert_eq!(
                (of("setting"), of("method")),
                (setting.setting.clone(), method.name.clone())
            );
            let Some(result) = &method.result else {
                assert_eq!(
                    (of("macro_f1_mean"), of("cannot_answer").is_empty()),
                    (String::new(), false)
                );
                continue;
            };
            let number = |name: &str| of(name).parse::<f64>().unwrap();
            assert_eq!(number("macro_f1_mean"), result.macro_f1.mean);
            assert_eq!(number("accuracy_sd"), result.accuracy.sd);
            assert_eq!(number("weighted_recall_mean"), result.weighted_recall.mean);
            assert_eq!(number("calibration_error"), result.calibration_error);
            assert_eq!(of("peak_memory_bytes").parse().ok(), result.peak_memory);
            assert_eq!(
                of("difference_macro_f1_low").parse().ok(),
                result.difference.as_ref().map(|one| one.macro_f1.low)
            );
            assert_eq!(of("novelty_auroc").parse().ok(), result.novelty.map(|one| one.auroc));
            assert_eq!(
                of("best_baseline"),
                (setting.best_baseline.as_ref() == Some(&method.name)).to_string()
            );
            for class in &result.per_class {
                let row = classes.next().unwrap();
                let values: Vec<&str> =
                    row.iter().skip(3).map(|(_, value)| value.as_str()).collect();
                let wanted = [
                    &class.class,
                    &class.precision.to_string(),
                    &class.recall.to_string(),
                    &class.f1.to_string(),
                    &class.cells.to_string(),
                ];
                assert_eq!(values, wanted);
            }
            let count = setting.classes.len();
            for (at, cells) in result.confusion.iter().enumerate().filter(|(_, cells)| **cells > 0)
            {
                let row = confusion.next().unwrap();
                let values: Vec<&str> =
                    row.iter().skip(3).map(|(_, value)| value.as_str()).collect();
                let wanted = [
                    &setting.classes[at / count],
                    &setting.classes[at % count],
                    &cells.to_string(),
                ];
                assert_eq!(values, wanted);
            }
        }
    }
    assert!(rows.next().is_none() && classes.next().is_none() && confusion.next().is_none());
}

/// Whether the JSON is that of the summary, digit by digit, and is read as one. (Read numbers may differ
/// in the last bit, so that the text is compared.)
fn same(report: &Written, summary: &Summary) -> bool {
    let text = report.text("numbers.json");
    let read: Summary = serde_json::from_str(&text).unwrap();
    read.settings.len() == summary.settings.len()
        && text == serde_json::to_string_pretty(summary).unwrap()
}

fn table(report: &Written, name: &str) -> Vec<Vec<(String, String)>> {
    let mut reader = csv::Reader::from_path(report.folder.join(name)).unwrap();
    let names = reader.headers().unwrap().clone();
    let rows = reader.records().map(|row| row.unwrap());
    rows.map(|row| names.iter().zip(&row).map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
        .collect()
}

#[test]
fn the_answer_is_what_the_intervals_say() {
    let answer = |low: f64, high: f64, control: f64| {
        let mut summary = sample::summary("pbmc", &sample::classes(3), &[STANDARD]);
        summary.embeddings.clear();
        let interval = |low, high| Interval { low, estimate: (low + high) / 2.0, high };
        for method in &mut summary.settings[0].methods {
            if let Some(difference) = method.result.as_mut().and_then(|one| one.difference.as_mut())
            {
                difference.macro_f1 = match method.name.as_str() {
                    "screader" => interval(low, high),
                    _ => interval(control - 0.01, control + 0.01),
                };
            }
        }
        let page = write("answer", &summary).page();
        let answers = page.split("<p class=\"answer\">").skip(1);
        answers
            .map(|one| one.split("</p>").next().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let wins = answer(0.011, 0.052, -0.1);
    assert!(
        wins.contains("beats the best baseline") && wins.contains("+0.011 to +0.052"),
        "{wins}"
    );
    assert!(wins.contains("is ahead of random LLaMA, shuffled genes and no LLaMA."), "{wins}");
    let loses = answer(-0.052, -0.011, -0.03);
    assert!(loses.contains("A baseline wins") && loses.contains("−0.052 to −0.011"), "{loses}");
    assert!(
        loses.contains("is not told apart from random LLaMA, shuffled genes and no LLaMA."),
        "{loses}"
    );
    for (low, high) in [(-0.02, 0.03), (0.0, 0.03), (-0.03, 0.0)] {
        let level = answer(low, high, 0.2);
        assert!(level.contains("No difference is shown") && level.contains("spans 0"), "{level}");
        assert!(
            !level.contains("beats")
                && level.contains("is behind random LLaMA, shuffled genes and no LLaMA."),
            "{level}"
        );
    }
    let unknown = answer(f64::NAN, f64::NAN, 0.0);
    assert!(unknown.contains("no interval tells them apart"), "{unknown}");
    assert!(
        unknown.contains("cannot be compared with random LLaMA, shuffled genes and no LLaMA."),
        "{unknown}"
    );
}

#[test]
fn over_several_settings_wins_and_losses_are_counted() {
    let settings = [STANDARD, ("panel", "", 0.1), ("few-shot", "5 cells a type", 0.1)];
    let mut summary = sample::summary("pbmc", &sample::classes(3), &settings);
    for (setting, low) in summary.settings.iter_mut().zip([0.01, -0.2, -0.01]) {
        let result = method(setting, "screader").result.as_mut().unwrap();
        result.difference.as_mut().unwrap().macro_f1 =
            Interval { low, estimate: low + 0.02, high: low + 0.04 };
    }
    let page = write("several", &summary).page();
    let wanted = "Of 3 comparisons by macro-F1, screader beats the best baseline in 1 (standard); a baseline \
                  beats screader in 1 (panel); no difference is shown in 1 (few shot, 5 cells a type).";
    assert!(page.contains(wanted));
}
