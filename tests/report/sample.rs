//! Summaries to draw: made up, but with numbers that hang together.

use screader::bench::summary::{
    ClassResult, DataSummary, Difference, EmbeddingSummary, Interval, MeanSd, MethodResult,
    MethodSummary, Novelty, ReliabilityBin, Role, SettingSummary, Summary,
};

/// The methods with how good they are.
const METHODS: [(&str, &str, Role, f64); 13] = [
    ("screader", "screader", Role::Screader, 0.91),
    ("random-llama", "random LLaMA", Role::Control, 0.87),
    ("shuffled-genes", "shuffled genes", Role::Control, 0.74),
    ("no-llama", "no LLaMA", Role::Control, 0.88),
    ("mean-pool-mlp", "mean-pooled embeddings, MLP", Role::Baseline, 0.86),
    ("genept-w-knn", "GenePT-w, 10-NN", Role::Baseline, 0.80),
    ("genept-w-linear", "GenePT-w, linear", Role::Baseline, 0.83),
    ("genept-s-knn", "GenePT-s, 10-NN", Role::Baseline, 0.70),
    ("genept-s-linear", "GenePT-s, linear", Role::Baseline, 0.76),
    ("logistic-regression", "logistic regression", Role::Baseline, 0.89),
    ("knn-pca", "10-NN on 50 PCs", Role::Baseline, 0.85),
    ("mlp", "MLP", Role::Baseline, 0.88),
    ("majority", "majority guess", Role::Baseline, 0.05),
];

const NAMES: [&str; 12] = [
    "CD4-positive, alpha-beta T cell",
    "classical monocyte",
    "B cell",
    "natural killer cell",
    "fibroblast",
    "endothelial cell of lymphatic vessel",
    "macrophage",
    "plasmacytoid dendritic cell",
    "type II pneumocyte",
    "club cell",
    "mast cell",
    "erythrocyte",
];

/// So many cell types with names as atlases have them.
pub fn classes(count: usize) -> Vec<String> {
    let states = ["", "activated ", "cycling ", "resident ", "stressed ", "naive "];
    let name = |at: usize| format!("{}{}", states[(at / 12) % 6], NAMES[at % 12]);
    (0..count).map(name).collect()
}

/// Numbers that look random and are always the same.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next one, from 0 to 1.
    pub fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal.
    fn bell(&mut self) -> f64 {
        (0..6).map(|_| self.roll() - 0.5).sum::<f64>() * 1.4
    }
}

/// A comparison on these classes under these settings: name, variant, and what all methods lose.
pub fn summary(title: &str, classes: &[String], settings: &[(&str, &str, f64)]) -> Summary {
    let cells: Vec<usize> = (0..classes.len()).map(|at| 24 + 900 / (at + 2)).collect();
    Summary {
        title: title.to_owned(),
        command: format!("screader bench --data {title}.h5ad --label cell_type --genes human.safetensors --backbone checkpoints/smollm2-135m --setting standard,disjoint-genes"),
        date: "2026-11-21".to_owned(),
        machine: "AMD EPYC 9454, 16 threads, device cuda:0".to_owned(),
        version: "0.1.0".to_owned(),
        data: DataSummary {
            path: format!("atlas/{title}.h5ad"),
            cells: cells.iter().sum(),
            genes: 18_734,
            coverage: "17,902 of 18,734 genes found (95.6 %)".to_owned(),
            matrix: "X (counts)".to_owned(),
            types: classes.iter().cloned().zip(cells.iter().copied()).collect(),
            gene_table: "minilm all-MiniLM-L6-v2, human genes".to_owned(),
            backbone: "SmolLM2-135M, 30 layers of 576".to_owned(),
        },
        settings: settings
            .iter()
            .enumerate()
            .map(|(at, (setting, variant, loss))| one(at, setting, variant, *loss, classes, &cells))
            .collect(),
        embeddings: ["expression (50 PCs)", "GenePT-w", "screader"]
            .iter()
            .enumerate()
            .map(|(at, label)| embedding(label, at, classes, &cells))
            .collect(),
        notes: vec![
            "Every method learns from the same cells.".to_owned(),
            "Intervals are of the difference on all test cells together, from 2,000 paired resamples of the cells; they do not cover how much another training set would change.".to_owned(),
        ],
    }
}

fn one(
    number: usize,
    setting: &str,
    variant: &str,
    loss: f64,
    classes: &[String],
    cells: &[usize],
) -> SettingSummary {
    let mut methods: Vec<MethodSummary> = METHODS
        .iter()
        .enumerate()
        .map(|(at, (name, label, role, quality))| {
            let cannot = setting == "disjoint-genes"
                && matches!(*name, "logistic-regression" | "mlp" | "knn-pca");
            let mut dice = Dice::new((number * 100 + at) as u64 + 7);
            MethodSummary {
                name: (*name).to_owned(),
                label: (*label).to_owned(),
                role: *role,
                cannot_answer: cannot.then(|| {
                    "no gene of the training cells is measured in the test cells".to_owned()
                }),
                result: (!cannot).then(|| {
                    result(
                        (quality - loss * dice.roll().max(0.4)).max(0.02),
                        classes,
                        cells,
                        setting == "unseen-type",
                        &mut dice,
                    )
                }),
            }
        })
        .collect();
    let f1 = |one: &MethodSummary| one.result.as_ref().map_or(-1.0, |result| result.macro_f1.mean);
    let baselines = methods.iter().filter(|one| one.role == Role::Baseline);
    let best =
        baselines.max_by(|a, b| f1(a).total_cmp(&f1(b))).map(|one| (one.name.clone(), f1(one)));
    if let Some((to, best)) = &best {
        for method in methods.iter_mut().filter(|one| one.name != *to) {
            let by = f1(method) - best;
            if let Some(result) = &mut method.result {
                let interval = Interval { low: by - 0.0171, estimate: by, high: by + 0.0158 };
                result.difference =
                    Some(Difference { to: to.clone(), accuracy: interval, macro_f1: interval });
            }
        }
    }
    SettingSummary {
        setting: setting.to_owned(),
        variant: variant.to_owned(),
        question: "Which type is a cell when none of the genes that are measured in it was ever measured in a training cell?".to_owned(),
        trials: 5,
        test_cells: cells.iter().sum(),
        classes: classes.to_vec(),
        methods,
        best_baseline: best.map(|best| best.0),
    }
}

fn result(
    quality: f64,
    classes: &[String],
    cells: &[usize],
    novel: bool,
    dice: &mut Dice,
) -> MethodResult {
    let count = classes.len();
    let mut confusion = vec![0; count * count];
    for (truth, &cells) in cells.iter().enumerate() {
        for _ in 0..cells {
            let near = (dice.bell() * 2.0).round() as isize;
            let wrong = (truth as isize + near).rem_euclid(count as isize) as usize;
            let said = if dice.roll() < quality { truth } else { wrong };
            confusion[truth * count + said] += 1;
        }
    }
    let per_class: Vec<ClassResult> = classes
        .iter()
        .enumerate()
        .map(|(class, name)| {
            let right = confusion[class * count + class] as f64;
            let named: usize = (0..count).map(|truth| confusion[truth * count + class]).sum();
            let (precision, recall) =
                (right / named.max(1) as f64, right / cells[class].max(1) as f64);
            let f1 =
                if right > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
            ClassResult { class: name.clone(), precision, recall, f1, cells: cells[class] }
        })
        .collect();
    let all: usize = cells.iter().sum();
    let over = |of: &dyn Fn(&ClassResult) -> f64, weighted: bool| {
        let weight = |one: &ClassResult| {
            if weighted { one.cells as f64 / all as f64 } else { 1.0 / count as f64 }
        };
        let mean = per_class.iter().map(|one| of(one) * weight(one)).sum::<f64>();
        MeanSd { mean, sd: 0.008 + (1.0 - mean) * 0.05 }
    };
    let bins = [0.2, 0.35, 0.5, 0.65, 0.8, 0.95];
    MethodResult {
        accuracy: over(&|one| one.recall, true),
        balanced_accuracy: over(&|one| one.recall, false),
        macro_precision: over(&|one| one.precision, false),
        macro_recall: over(&|one| one.recall, false),
        macro_f1: over(&|one| one.f1, false),
        weighted_precision: over(&|one| one.precision, true),
        weighted_recall: over(&|one| one.recall, true),
        weighted_f1: over(&|one| one.f1, true),
        difference: None,
        calibration_error: 0.02 + 0.1 * dice.roll(),
        reliability: bins
            .iter()
            .enumerate()
            .map(|(at, &confidence)| ReliabilityBin {
                confidence,
                accuracy: (confidence * (0.75 + 0.3 * dice.roll())).min(1.0),
                cells: 10 + at * at * 90,
            })
            .collect(),
        cells_per_second: 10f64.powf(1.5 + 3.5 * dice.roll()),
        fit_seconds: MeanSd { mean: 0.5 + 80.0 * dice.roll(), sd: 2.5 * dice.roll() },
        peak_memory: (dice.roll() > 0.1).then(|| (6e8 + 4e9 * dice.roll()) as u64),
        per_class,
        confusion,
        novelty: novel.then(|| Novelty {
            auroc: 0.5 + 0.4 * dice.roll(),
            recall_at_95: 0.5 * dice.roll(),
            recall: (dice.roll() > 0.5).then_some(0.41),
            kept: (dice.roll() > 0.5).then_some(0.93),
        }),
    }
}

fn embedding(label: &str, number: usize, names: &[String], cells: &[usize]) -> EmbeddingSummary {
    let mut dice = Dice::new(number as u64 + 3);
    let (mut points, mut classes) = (Vec::new(), Vec::new());
    let wide = 2.2 - 0.6 * number as f64;
    for (class, &cells) in cells.iter().enumerate() {
        // As the seeds of a sunflower.
        let (angle, radius) = (class as f64 * 2.399_963, 4.0 * (class as f64 + 0.5).sqrt());
        for _ in 0..cells {
            let x = radius * angle.cos() + wide * dice.bell();
            let y = radius * angle.sin() + wide * dice.bell();
            points.push([x as f32, y as f32]);
            classes.push(class);
        }
    }
    EmbeddingSummary {
        label: label.to_owned(),
        points,
        classes,
        names: names.to_vec(),
        silhouette: 0.11 + 0.13 * number as f64,
        knn_purity: 0.71 + 0.1 * number as f64,
    }
}
