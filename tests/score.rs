//! Scores agree with scikit-learn, calibration with scipy, neighbours with scikit-learn.

#![allow(clippy::unwrap_used)] // a test that cannot read its own input should panic

mod formula;

use formula::{signed, uniform};
use screader::baselines::{KnnConfig, Metric, knn, majority};
use screader::cells::Dense;
use screader::score::{
    ClassScores, Confusion, expected_calibration_error, fit_temperature, softmax_confidence,
    unknown_threshold,
};
use serde_json::Value;

fn goldens() -> Value {
    serde_json::from_str(include_str!("goldens/score.json")).unwrap()
}

fn indices(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|item| item.as_u64().unwrap() as usize).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|item| item.as_f64().unwrap()).collect()
}

fn close(found: f64, wanted: f64, tolerance: f64) {
    assert!((found - wanted).abs() <= tolerance, "{found} is not {wanted}");
}

fn same_scores(found: ClassScores, wanted: &[f64]) {
    close(found.precision, wanted[0], 1e-12);
    close(found.recall, wanted[1], 1e-12);
    close(found.f1, wanted[2], 1e-12);
}

#[test]
fn scores_agree_with_scikit_learn() {
    for case in goldens()["confusion"].as_array().unwrap() {
        let n_classes = case["n_classes"].as_u64().unwrap() as usize;
        let (truth, predicted) = (indices(&case["truth"]), indices(&case["predicted"]));
        let confusion = Confusion::new(&truth, &predicted, n_classes).unwrap();
        assert_eq!(confusion.counts, indices(&case["counts"]), "{}", case["name"]);
        let names: Vec<String> = (0..n_classes).map(|class| format!("type {class}")).collect();
        let scores = confusion.scores(&names).unwrap();
        close(scores.accuracy, case["accuracy"].as_f64().unwrap(), 1e-12);
        close(scores.balanced_accuracy, case["balanced_accuracy"].as_f64().unwrap(), 1e-12);
        same_scores(scores.macro_average, &numbers(&case["macro"]));
        same_scores(scores.weighted_average, &numbers(&case["weighted"]));
        let occurring = indices(&case["occurring"]);
        assert_eq!(scores.per_class.len(), occurring.len(), "{}", case["name"]);
        let per_class = case["per_class"].as_array().unwrap();
        for ((name, found), (class, wanted)) in
            scores.per_class.iter().zip(occurring.iter().zip(per_class))
        {
            assert_eq!(*name, names[*class]);
            let wanted = numbers(wanted);
            same_scores(*found, &wanted);
            assert_eq!(found.support as f64, wanted[3]);
        }
    }
}

#[test]
fn scores_print_as_an_aligned_table() {
    let confusion = Confusion::new(&[0, 0, 1, 1, 1], &[0, 1, 1, 1, 0], 3).unwrap();
    let names = ["T cell", "B cell", "never seen"].map(String::from);
    let text = confusion.scores(&names).unwrap().to_string();
    let wanted = "                   precision  recall      f1    cells
T cell                0.5000  0.5000  0.5000        2
B cell                0.6667  0.6667  0.6667        3

macro                 0.5833  0.5833  0.5833        5
weighted              0.6000  0.6000  0.6000        5
accuracy                              0.6000        5
balanced accuracy                     0.5833        5
";
    assert_eq!(text, wanted);
}

#[test]
fn calibration_agrees_with_scipy() {
    for case in goldens()["calibration"].as_array().unwrap() {
        let number = |key: &str| case[key].as_f64().unwrap();
        let whole = |key: &str| case[key].as_u64().unwrap();
        let mut logits = signed(whole("seed"), whole("cells") as usize, whole("classes") as usize);
        logits.values.iter_mut().for_each(|logit| *logit *= number("scale") as f32);
        let truth = indices(&case["truth"]);
        let temperature = fit_temperature(&logits, &truth).unwrap();
        close(temperature / number("temperature"), 1.0, 1e-5);
        let (classes, confidence): (Vec<usize>, Vec<f32>) =
            softmax_confidence(&logits, temperature).unwrap().into_iter().unzip();
        let correct: Vec<bool> = classes.iter().zip(&truth).map(|(a, b)| a == b).collect();
        let error = expected_calibration_error(&confidence, &correct, 15).unwrap();
        close(error, number("expected_calibration_error"), 1e-5);
        let chosen = unknown_threshold(&confidence, &correct, 0.9).unwrap();
        assert!(chosen.reached_target);
        close(f64::from(chosen.threshold), number("threshold_at_0.9"), 1e-5);
        close(chosen.coverage, number("coverage_at_0.9"), 1e-12);
    }
}

#[test]
fn a_target_out_of_reach_gives_the_most_precise_threshold() {
    let (confidence, correct) = ([0.9, 0.8, 0.8, 0.3], [false, true, true, false]);
    let chosen = unknown_threshold(&confidence, &correct, 0.99).unwrap();
    assert_eq!((chosen.threshold, chosen.reached_target), (0.8, false));
    assert_eq!((chosen.precision, chosen.coverage), (2.0 / 3.0, 0.75));
    let chosen = unknown_threshold(&confidence, &correct, 0.5).unwrap();
    assert_eq!((chosen.threshold, chosen.reached_target), (0.3, true));
}

#[test]
fn calibration_error_of_hand_made_bins() {
    // Two bins: (0, 0.5] holds 0.2 and 0.5, one right; (0.5, 1] holds 1.0 and 0.6, both right.
    let confidence = [0.2, 0.5, 1.0, 0.6];
    let error = expected_calibration_error(&confidence, &[true, false, true, true], 2).unwrap();
    close(error, (0.5 * (0.5f64 - 0.35)) + 0.5 * (1.0 - 0.8), 1e-7);
    assert_eq!(expected_calibration_error(&[0.0, 1.0], &[false, true], 15).unwrap(), 0.0);
}

#[test]
fn neighbours_agree_with_scikit_learn() {
    let case = &goldens()["neighbours"];
    let whole = |key: &str| case[key].as_u64().unwrap() as usize;
    let (n_train, n_query, dim, classes) =
        (whole("train"), whole("queries"), whole("dim"), whole("classes"));
    let class = |seed, place: usize| (uniform(seed, place as u64) * classes as f64) as usize;
    let centres = signed(11, classes, dim);
    let around_centres = |classes: &[usize], seed| {
        let mut cells = signed(seed, classes.len(), dim);
        for (row, &class) in cells.values.chunks_exact_mut(dim).zip(classes) {
            let centre = &centres.values[class * dim..][..dim];
            row.iter_mut().zip(centre).for_each(|(value, centre)| *value += 0.5 * centre);
        }
        cells
    };
    let labels: Vec<usize> = (0..n_train).map(|cell| class(12, cell)).collect();
    let of_query: Vec<usize> = (0..n_query).map(|cell| class(14, cell)).collect();
    let (train, query) = (around_centres(&labels, 13), around_centres(&of_query, 15));
    let config = KnnConfig { neighbours: whole("k"), metric: Metric::Cosine };
    let predict = || knn(&train, &labels, &query, classes, &config).unwrap();
    assert_eq!(predict().classes, indices(&case["predicted"]));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(pool.install(predict), predict());
}

#[test]
fn the_majority_is_the_most_common_class() {
    assert_eq!(majority(&[2, 1, 2, 1, 0], 3, 1).unwrap().classes, [1]);
    assert_eq!(majority(&[3], 4, 1).unwrap().classes, [3]);
    let said = majority(&[2, 1, 2, 0], 4, 3).unwrap();
    assert_eq!(said.classes, [2; 3]);
    assert_eq!(said.probabilities.values, [0.25, 0.25, 0.5, 0.0].repeat(3));
    assert!(majority(&[], 2, 1).is_err());
    assert!(majority(&[2], 2, 1).is_err());
}

#[test]
fn nonsense_is_refused() {
    assert!(Confusion::new(&[0], &[0, 1], 2).is_err());
    assert!(Confusion::new(&[], &[], 2).is_err());
    assert!(Confusion::new(&[0], &[2], 2).is_err());
    let logits = Dense { n_rows: 1, n_cols: 2, values: vec![0.0, f32::NAN] };
    assert!(fit_temperature(&logits, &[0]).is_err());
    assert!(softmax_confidence(&logits, 1.0).is_err());
    assert!(expected_calibration_error(&[1.5], &[true], 15).is_err());
    assert!(unknown_threshold(&[], &[], 0.9).is_err());
    let cells = Dense { n_rows: 2, n_cols: 1, values: vec![1.0, 2.0] };
    let near = |neighbours| KnnConfig { neighbours, metric: Metric::Cosine };
    assert!(knn(&cells, &[0, 1], &cells, 2, &near(3)).is_err());
    assert!(knn(&cells, &[0, 2], &cells, 2, &near(1)).is_err());
    assert!(knn(&cells, &[0], &cells, 2, &near(1)).is_err());
}
