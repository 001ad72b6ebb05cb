//! Baselines agree with scikit-learn (scripts/reference/baseline_goldens.py), learn, and refuse nonsense.

#![allow(clippy::unwrap_used)] // a test that cannot read its own input should panic

mod formula;

use std::path::{Path, PathBuf};

use formula::{signed, uniform};
use indicatif::ProgressBar;
use screader::baselines::{
    ExpressionMlp, ExpressionMlpConfig, GenePtConfig, GenePtSConfig, KnnConfig, LogisticConfig,
    LogisticRegression, Metric, Prediction, SelectedRegression, SelectionConfig, cell_sentences,
    genept_w, knn, majority,
};
use screader::cells::{CsrMatrix, Dense};
use screader::embed::{MINILM_MODEL, MiniLm, TextEmbedder, find_minilm};
use screader::io::{ReadOptions, read};
use screader::score::Confusion;
use serde_json::Value;

fn goldens() -> Value {
    serde_json::from_str(include_str!("goldens/baselines.json")).unwrap()
}

fn indices(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|item| item.as_u64().unwrap() as usize).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|item| item.as_f64().unwrap()).collect()
}

fn sparse(dense: &Dense) -> CsrMatrix {
    let (n_rows, n_cols) = (dense.n_rows, dense.n_cols);
    let mut matrix = CsrMatrix { n_rows, n_cols, indptr: vec![0], ..Default::default() };
    for row in dense.values.chunks_exact(n_cols) {
        for (column, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            matrix.indices.push(column as u32);
            matrix.data.push(value);
        }
        matrix.indptr.push(matrix.data.len());
    }
    matrix
}

fn dense(matrix: &CsrMatrix) -> Dense {
    let (n_rows, n_cols) = (matrix.n_rows, matrix.n_cols);
    let mut values = vec![0.0; n_rows * n_cols];
    for row in 0..n_rows {
        let (columns, data) = matrix.row(row);
        columns.iter().zip(data).for_each(|(&at, &x)| values[row * n_cols + at as usize] = x);
    }
    Dense { n_rows, n_cols, values }
}

/// Training cells with their classes, and test cells with theirs.
struct Task {
    train: CsrMatrix,
    known: Vec<usize>,
    test: CsrMatrix,
    truth: Vec<usize>,
    classes: usize,
}

impl Task {
    fn new(
        cells: &CsrMatrix,
        labels: &[usize],
        classes: usize,
        test: impl Fn(usize) -> bool,
    ) -> Self {
        let (asked, kept): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|&at| test(at));
        let of = |rows: &[usize]| rows.iter().map(|&row| labels[row]).collect();
        Self {
            known: of(&kept),
            truth: of(&asked),
            train: cells.select_rows(&kept),
            test: cells.select_rows(&asked),
            classes,
        }
    }

    /// The cells of the goldens' `formula`.
    fn by_formula() -> Self {
        let golden = &goldens()["formula"];
        let whole = |key: &str| golden[key].as_u64().unwrap() as usize;
        let (cells, genes, classes) = (whole("cells"), whole("genes"), whole("classes"));
        let class = |cell| (uniform(32, cell) * classes as f64) as usize;
        let labels: Vec<usize> = (0..cells as u64).map(class).collect();
        let (centres, mut all) = (signed(31, classes, genes), signed(33, cells, genes));
        for (cell, row) in all.values.chunks_exact_mut(genes).enumerate() {
            let centre = &centres.values[labels[cell] * genes..][..genes];
            let add = |(value, centre): (&mut f32, &f32)| *value = (*value + 0.5 * centre).max(0.0);
            row.iter_mut().zip(centre).for_each(add);
            row[genes - 1] = [4.0, 0.0, 0.0, 12.0].get(cell).copied().unwrap_or(0.0);
        }
        Self::new(&sparse(&all), &labels, classes, |cell| cell % 4 == 3)
    }

    fn accuracy(&self, said: &Prediction) -> f64 {
        let right = said.classes.iter().zip(&self.truth).filter(|(a, b)| a == b).count();
        right as f64 / self.truth.len() as f64
    }
}

fn exact() -> LogisticConfig {
    LogisticConfig { tolerance: 1e-6, ..Default::default() }
}

#[track_caller]
fn near(found: &Prediction, wanted: &Value, tolerance: f64) {
    let wanted = numbers(wanted);
    assert_eq!(found.probabilities.values.len(), wanted.len());
    for (found, wanted) in found.probabilities.values.iter().zip(wanted) {
        assert!((f64::from(*found) - wanted).abs() <= tolerance, "{found} is not {wanted}");
    }
}

fn on_one_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(work)
}

#[test]
fn logistic_regression_agrees_with_scikit_learn() {
    let (task, golden) = (Task::by_formula(), &goldens()["formula"]);
    let cases = [
        ("plain", exact()),
        ("strongly_penalised", LogisticConfig { c: 0.05, ..exact() }),
        ("standardised", LogisticConfig { standardise: true, ..exact() }),
    ];
    let (train, test) = (dense(&task.train), dense(&task.test));
    for (name, config) in cases {
        let fit = LogisticRegression::fit(&task.train, &task.known, task.classes, &config).unwrap();
        near(&fit.predict(&task.test).unwrap(), &golden[name], 1e-4);
        near(&fit.predict(&test).unwrap(), &golden[name], 1e-4);
        let fit = LogisticRegression::fit(&train, &task.known, task.classes, &config).unwrap();
        near(&fit.predict(&task.test).unwrap(), &golden[name], 1e-4);
    }
    let of_two: Vec<usize> = task.known.iter().map(|class| class % 2).collect();
    let fit = LogisticRegression::fit(&task.train, &of_two, 2, &exact()).unwrap();
    near(&fit.predict(&task.test).unwrap(), &golden["of_two_classes"], 1e-4);
    let selection = SelectionConfig::default();
    let config = LogisticConfig { standardise: true, ..exact() };
    let fit = SelectedRegression::fit(&task.train, &task.known, task.classes, &selection, &config);
    near(&fit.unwrap().predict(&task.test).unwrap(), &golden["cut_off_at_10"], 1e-4);
    let (cut, uncut) = (numbers(&golden["cut_off_at_10"]), numbers(&golden["standardised"]));
    assert!(cut.iter().zip(uncut).any(|(a, b)| (a - b).abs() > 1e-3), "nothing was cut off");
}

#[test]
fn a_class_that_nobody_has_gets_nothing() {
    let task = Task::by_formula();
    let moved: Vec<usize> = task.known.iter().map(|class| class + class / 2).collect();
    let fit = LogisticRegression::fit(&task.train, &moved, 6, &exact()).unwrap();
    let found = fit.predict(&task.test).unwrap();
    let mut values = Vec::new();
    for row in found.probabilities.values.chunks_exact(6) {
        assert_eq!((row[2], row[5]), (0.0, 0.0));
        values.extend([row[0], row[1], row[3], row[4]]);
    }
    let probabilities = Dense { n_rows: values.len() / 4, n_cols: 4, values };
    let found = Prediction { probabilities, classes: found.classes };
    near(&found, &goldens()["formula"]["plain"], 1e-4);
    assert!(found.classes.iter().all(|class| [0, 1, 3, 4].contains(class)));
}

#[test]
fn fits_do_not_depend_on_the_threads() {
    let task = Task::by_formula();
    let (train, known, classes) = (&task.train, &task.known, task.classes);
    let both = || {
        let dense = dense(train);
        let selection = SelectionConfig { top_genes: 5, ..Default::default() };
        let config = LogisticConfig::default();
        (
            LogisticRegression::fit(&dense, known, classes, &config).unwrap(),
            SelectedRegression::fit(train, known, classes, &selection, &config).unwrap(),
            ExpressionMlp::fit(train, known, classes, None, &Default::default()).unwrap(),
        )
    };
    assert_eq!(both(), on_one_thread(both));
}

#[test]
fn selected_genes_are_those_that_tell_classes_apart() {
    // Gene 1 tells class 0, gene 4 class 1; the others say nothing.
    let mut cells = signed(41, 60, 6);
    let labels: Vec<usize> = (0..60).map(|cell| cell % 2).collect();
    for (cell, row) in cells.values.chunks_exact_mut(6).enumerate() {
        row.iter_mut().for_each(|value| *value = 0.1 * value.abs());
        row[if cell % 2 == 0 { 1 } else { 4 }] += 3.0;
    }
    let (matrix, config) = (sparse(&cells), LogisticConfig::default());
    let selection = SelectionConfig { top_genes: 2, ..Default::default() };
    let fit = SelectedRegression::fit(&matrix, &labels, 2, &selection, &config).unwrap();
    assert_eq!(fit.genes, [1, 4]);
    assert_eq!(fit.predict(&matrix).unwrap().classes, labels);
}

#[test]
fn the_perceptron_learns_and_stops_in_time() {
    let task = Task::by_formula();
    let fit = |watched, config: &ExpressionMlpConfig| {
        ExpressionMlp::fit(&task.train, &task.known, task.classes, watched, config).unwrap()
    };
    let guess = majority(&task.known, task.classes, task.truth.len()).unwrap();
    let config = ExpressionMlpConfig { batch_size: 16, epochs: 40, ..Default::default() };
    let model = fit(None, &config);
    assert_eq!(model.epochs, 40);
    let said = model.predict(&task.test).unwrap();
    let (found, least) = (task.accuracy(&said), task.accuracy(&guess));
    assert!(found > least + 0.3, "{found} after {least}");
    assert_ne!(model, fit(None, &ExpressionMlpConfig { seed: 1, ..config.clone() }));
    // Watched cells of other classes than their own get worse with every pass.
    let wrong: Vec<usize> = task.truth.iter().map(|class| (class + 1) % task.classes).collect();
    let stopped = fit(Some((&task.test, &wrong)), &config);
    assert!(stopped.epochs < 10, "kept the weights after {} passes", stopped.epochs);
    let config = ExpressionMlpConfig { dropout: 0.3, ..config };
    let watched = fit(Some((&task.test, &task.truth)), &config);
    assert!(task.accuracy(&watched.predict(&task.test).unwrap()) > least + 0.3);
}

#[test]
fn sentences_name_genes_by_falling_expression() {
    let cells = Dense {
        n_rows: 3,
        n_cols: 4,
        values: vec![1.0, 2.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.5, 4.0, 0.0, 4.0],
    };
    let names = ["CD3D", "LYZ", "NKG7", "MS4A1"].map(String::from);
    let write = |genes| {
        let config = GenePtSConfig { genes, ..Default::default() };
        cell_sentences(&sparse(&cells), &names, &config).unwrap()
    };
    let whole = "A cell with genes ranked by expression: LYZ MS4A1 CD3D";
    assert_eq!(write(3), [whole, "", whole]);
    assert_eq!(write(2)[0], "A cell with genes ranked by expression: LYZ MS4A1");
    let config = GenePtSConfig::default();
    assert!(cell_sentences(&sparse(&cells), &names[1..], &config).is_err());
    let none = GenePtSConfig { genes: 0, ..config };
    assert!(cell_sentences(&sparse(&cells), &names, &none).is_err());
}

/// The authors' notebook gives the vectors of one under the name of the other.
#[test]
fn genept_s_is_not_genept_w() {
    let Ok(folder) = find_minilm(std::env::var_os("SCREADER_MINILM").as_deref().map(Path::new))
    else {
        eprintln!("skipped: no MiniLM");
        return;
    };
    let names = ["CD3D", "LYZ", "NKG7", "MS4A1"].map(String::from);
    let cells = Dense { n_rows: 2, n_cols: 4, values: vec![1., 2., 0., 3., 1., 4., 0., 9.] };
    let embedder = MiniLm::load(folder, MINILM_MODEL).unwrap();
    let embed = |texts: &[String]| {
        let rows = embedder.embed(texts, &ProgressBar::hidden()).unwrap();
        Dense { n_rows: rows.len(), n_cols: rows[0].len(), values: rows.concat() }
    };
    let rows: Vec<Option<u32>> = (0..4).map(Some).collect();
    let config = GenePtConfig::default();
    let weighted = genept_w(&sparse(&cells), &rows, &embed(&names), &config).unwrap();
    let sentences = cell_sentences(&sparse(&cells), &names, &GenePtSConfig::default()).unwrap();
    let sentence = embed(&sentences);
    let cosine = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let width = sentence.n_cols;
    for (w, s) in weighted.values.chunks(width).zip(sentence.values.chunks(width)) {
        assert!(cosine(w, s) < 0.95, "{}", cosine(w, s));
    }
    // Only GenePT-w sees how much more; the order of the genes is one.
    assert_eq!(sentences[0], sentences[1]);
    assert_ne!(weighted.values[..width], weighted.values[width..]);
}

#[test]
fn nonsense_is_refused() {
    let task = Task::by_formula();
    let (train, known, config) = (&task.train, task.known.as_slice(), LogisticConfig::default());
    let fit = |matrix: &CsrMatrix, labels: &[usize], config: &LogisticConfig| {
        LogisticRegression::fit(matrix, labels, 4, config).map(|_| ())
    };
    let mlp = |matrix: &CsrMatrix, labels: &[usize]| {
        ExpressionMlp::fit(matrix, labels, 4, None, &Default::default()).map(|_| ())
    };
    let select = |matrix: &CsrMatrix, labels: &[usize]| {
        SelectedRegression::fit(matrix, labels, 4, &Default::default(), &config).map(|_| ())
    };
    let one_class = vec![1; known.len()];
    let beyond = vec![4; known.len()];
    let nothing = CsrMatrix { n_cols: train.n_cols, indptr: vec![0], ..Default::default() };
    let mut broken = train.clone();
    broken.data[7] = f32::NAN;
    let cases: [(&CsrMatrix, &[usize], &str); 5] = [
        (train, &one_class, "at least 2 classes"),
        (train, &known[1..], "a label for each"),
        (train, &beyond, "labels below 4"),
        (&nothing, &[], "a label for each"),
        (&broken, known, "finite values"),
    ];
    for (matrix, labels, wanted) in cases {
        for refused in [fit(matrix, labels, &config), mlp(matrix, labels), select(matrix, labels)] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains(wanted), "{error} for {wanted}");
        }
    }
    assert!(fit(train, known, &LogisticConfig { c: 0.0, ..config.clone() }).is_err());
    assert!(fit(train, known, &LogisticConfig { tolerance: f64::NAN, ..config.clone() }).is_err());
    let model = LogisticRegression::fit(train, known, 4, &config).unwrap();
    assert!(model.predict(&train.select_columns(&[1, 2])).is_err());
    let dropped = ExpressionMlpConfig { dropout: 1.0, ..Default::default() };
    assert!(ExpressionMlp::fit(train, known, 4, None, &dropped).is_err());
}

#[test]
fn skewed_classes_and_empty_cells_are_no_obstacle() {
    let task = Task::by_formula();
    // One cell of class 3, and a cell without a gene among those to name.
    let known: Vec<usize> =
        (0..task.known.len()).map(|cell| if cell == 5 { 3 } else { cell % 2 }).collect();
    let genes = task.train.n_cols;
    let empty = CsrMatrix { n_rows: 1, n_cols: genes, indptr: vec![0, 0], ..Default::default() };
    let model =
        LogisticRegression::fit(&task.train, &known, 4, &LogisticConfig::default()).unwrap();
    let selected = SelectedRegression::fit(
        &task.train,
        &known,
        4,
        &SelectionConfig { top_genes: 3, ..Default::default() },
        &LogisticConfig { standardise: true, ..Default::default() },
    );
    let mlp = ExpressionMlp::fit(&task.train, &known, 4, None, &Default::default()).unwrap();
    let said = [
        model.predict(&empty).unwrap(),
        selected.unwrap().predict(&empty).unwrap(),
        mlp.predict(&empty).unwrap(),
    ];
    for said in said {
        let sum: f32 = said.probabilities.values.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5 && said.classes[0] < 2, "{said:?}");
    }
    // Cells without any gene at all: only how common the classes are can be learned.
    let nothing = CsrMatrix { n_rows: 4, n_cols: genes, indptr: vec![0; 5], ..Default::default() };
    let model = LogisticRegression::fit(&nothing, &[0, 1, 1, 1], 2, &exact()).unwrap();
    assert!((model.predict(&empty).unwrap().probabilities.values[1] - 0.75).abs() < 1e-3);
}

/// The file of the goldens with its labels, or `None` with a word why the test is skipped.
fn pbmc() -> Option<(CsrMatrix, Vec<usize>, Value)> {
    let golden = goldens()["pbmc"].clone();
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("SCREADER_SHARED").map_or(default, PathBuf::from);
    let path = shared.join(golden["file"].as_str().unwrap());
    if !path.is_file() {
        eprintln!("skipped: no {}; set SCREADER_SHARED", path.display());
        return None;
    }
    let cells = read(&path, &ReadOptions { use_raw: true, ..Default::default() }).unwrap();
    let column = cells.obs.column("bulk_labels").unwrap();
    let names: Vec<String> = (0..cells.n_obs()).map(|row| column.text(row).unwrap()).collect();
    let classes: std::collections::BTreeSet<&String> = names.iter().collect();
    let code = |name: &String| classes.iter().position(|other| *other == name).unwrap();
    let labels = names.iter().map(code).collect();
    Some((cells.x, labels, golden))
}

#[test]
fn regression_of_real_cells_agrees_with_scikit_learn() {
    let Some((matrix, labels, golden)) = pbmc() else { return };
    let (folds, classes) =
        (indices(&golden["folds"]), golden["classes"].as_u64().unwrap() as usize);
    let task = |fold| Task::new(&matrix, &labels, classes, |cell| folds[cell] == fold);
    let mut said = vec![0; labels.len()];
    for fold in 0..10 {
        let task = task(fold);
        let config = LogisticConfig::default();
        let fit = LogisticRegression::fit(&task.train, &task.known, classes, &config).unwrap();
        let mut found = fit.predict(&task.test).unwrap().classes.into_iter();
        let places = (0..labels.len()).filter(|&cell| folds[cell] == fold);
        places.for_each(|cell| said[cell] = found.next().unwrap());
    }
    let names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
    let scores = Confusion::new(&labels, &said, classes).unwrap().scores(&names).unwrap();
    for (found, wanted) in [(scores.accuracy, "accuracy"), (scores.macro_average.f1, "macro_f1")] {
        let difference = found - golden[wanted].as_f64().unwrap();
        assert!(difference.abs() < 0.01, "{wanted} {found} differs by {difference}");
    }
    let task = task(0);
    let fit = LogisticRegression::fit(&task.train, &task.known, classes, &exact()).unwrap();
    near(&fit.predict(&task.test).unwrap(), &golden["plain"], 1e-3);
    let config = LogisticConfig { standardise: true, ..exact() };
    let all = SelectionConfig { top_genes: matrix.n_cols, ..Default::default() };
    let fit = SelectedRegression::fit(&task.train, &task.known, classes, &all, &config).unwrap();
    near(&fit.predict(&task.test).unwrap(), &golden["cut_off_at_10"], 1e-3);
}

#[test]
fn neighbours_of_real_cells_vote_as_with_scikit_learn() {
    let Some((matrix, labels, golden)) = pbmc() else { return };
    let (folds, classes) =
        (indices(&golden["folds"]), golden["classes"].as_u64().unwrap() as usize);
    for (metric, name) in [(Metric::Euclidean, "euclidean"), (Metric::Cosine, "cosine")] {
        let wanted = &golden["neighbours"][name];
        let config = KnnConfig { neighbours: 10, metric };
        let said = indices(&wanted["said"]);
        for fold in 0..10 {
            let task = Task::new(&matrix, &labels, classes, |cell| folds[cell] == fold);
            let (train, test) = (dense(&task.train), dense(&task.test));
            let found = knn(&train, &task.known, &test, classes, &config).unwrap();
            let cells = (0..labels.len()).filter(|&cell| folds[cell] == fold);
            assert_eq!(found.classes, cells.map(|cell| said[cell]).collect::<Vec<_>>());
            if fold == 0 {
                let votes = found.probabilities.values.iter().map(|share| (10.0 * share).round());
                assert_eq!(
                    votes.map(|vote| vote as usize).collect::<Vec<_>>(),
                    indices(&wanted["votes"])
                );
            }
        }
    }
}
