//! Simulated counts: a gamma-Poisson model with cell types, donors, ambient RNA and dropout.
//!
//! For cell `c` of type `t` and donor `d`, and gene `g`:
//!
//! 1. rate of the cell: `r_cg = w_c R_tg + (1 - w_c) R_ug`, where `R_tg` is the rate of the type's
//!    programme, `u` a related type and `w_c ~ Beta` the strength of the cell's identity;
//!    dividing and stressed cells have those programmes multiplied;
//! 2. batch: `r_cg b_dg`, `b_dg` log-normal per donor and gene;
//! 3. ambient: `p_cg = (1 - a_c) r_cg / Σ r_c + a_c m_dg`, where `m_d` is the mean profile of the
//!    donor and `a_c ~ Beta` the share of the soup in the droplet;
//! 4. depth: `μ_cg = L_c p_cg`, `L_c` log-normal;
//! 5. counts: `y ~ Poisson(μ Γ)`, `Γ ~ Gamma(1/φ, φ)`, that is negative binomial with variance
//!    `μ + φ μ²`;
//! 6. dropout: `y = 0` with probability `1 / (1 + (μ / μ_0)^s)`, as in Splatter (Zappia, Phipson and
//!    Oshlack 2017, equation for the expression-dependent dropout).
//!
//! What it is not: a model of a real pancreas. Fold changes are drawn, not estimated, gene-gene
//! correlation comes from the programmes only, and the descriptions of marker genes often name the
//! site of expression. It shows that the tool runs and learns; it says nothing of accuracy on real
//! cells.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution, Gamma, LogNormal, Poisson};

use super::gene_table::{DemoGene, demo_genes};
use super::tissue::{CELL_TYPES, Programme};
use crate::cells::{Cells, Column, CsrMatrix, Frame};
use crate::genes::Species;
use crate::{Error, Result};

/// The parameters of the simulator; [`Parameters::default`] is the bundled demo.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// Cells in all. 960: trains in seconds and leaves about 70 cells of the rarest type.
    pub cells: usize,
    /// Median counts of a cell over the demo's genes, per donor. A shallow 10x run gives 2,000 to
    /// 5,000 over all genes; the second donor was sequenced less deeply.
    pub median_counts: [f64; 2],
    /// Standard deviation of the logarithm of a cell's counts; 10x data show 0.3 to 0.5.
    pub counts_sigma: f64,
    /// Rate of a marker gene where it is off, relative to 1 for a weakly expressed gene. Above zero,
    /// as annotated cell types are never pure.
    pub off_rate: f64,
    /// Median rate of a marker gene in its type over its rate elsewhere.
    pub fold_change: f64,
    /// Standard deviation of the logarithm of that fold change over the genes.
    pub fold_change_sigma: f64,
    /// Standard deviation of the logarithm of a gene's rate within its programme; spreads genes of
    /// one kind over an order of magnitude.
    pub rate_sigma: f64,
    /// The two shapes of the Beta distribution of identity strength `w`. A cell with `w` under one
    /// half (2 % of them) looks more like its relative: the errors that no model can avoid. With the
    /// fold change above, a logistic regression is right on about 93 % of held-out cells.
    pub identity: [f64; 2],
    /// The two shapes of the Beta distribution of the ambient share; a mean of about a tenth, as
    /// soup estimates of dissociated pancreas are high.
    pub ambient: [f64; 2],
    /// Standard deviation of the logarithm of the second donor's factor of each gene.
    pub batch_sigma: f64,
    /// Dispersion `φ` of the negative binomial; UMI counts within a cell type show 0.1 to 0.5.
    pub dispersion: f64,
    /// Mean count at which a gene drops out half of the time.
    pub dropout_midpoint: f64,
    /// Steepness `s` of dropout against the logarithm of the mean.
    pub dropout_steepness: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            cells: 960,
            median_counts: [2200.0, 1600.0],
            counts_sigma: 0.4,
            off_rate: 0.25,
            fold_change: 6.0,
            fold_change_sigma: 0.5,
            rate_sigma: 0.6,
            identity: [8.0, 2.0],
            ambient: [2.0, 16.0],
            batch_sigma: 0.25,
            dispersion: 0.3,
            dropout_midpoint: 0.3,
            dropout_steepness: 1.0,
        }
    }
}

/// Median rates of the programmes that every cell runs, in the unit of [`Parameters::off_rate`].
/// Ribosomal and mitochondrial transcripts lead as in 10x data: a third of the counts each.
const HOUSEKEEPING_RATE: f64 = 8.0;
const RIBOSOME_RATE: f64 = 25.0;
const MITOCHONDRIAL_RATE: f64 = 35.0;
const STRESS_RATE: f64 = 3.0;
const CELL_CYCLE_RATE: f64 = 0.2;
/// `Xist` in the female donor.
const DONOR_RATE: f64 = 6.0;
/// What a dividing cell does to its cell-cycle genes.
const CYCLING_FOLD: f64 = 25.0;
/// Standard deviation of the logarithm of a cell's stress and mitochondrial activity.
const STRESS_SIGMA: f64 = 0.7;
const MITOCHONDRIAL_SIGMA: f64 = 0.3;
/// The second donor waited longer before dissociation: more stress, more mitochondrial transcripts.
const SECOND_DONOR_STRESS: f64 = 1.6;
const SECOND_DONOR_MITOCHONDRIAL: f64 = 1.25;

/// The donors, as in `obs["donor"]`; the first is female, the second male.
const DONORS: [&str; 2] = ["donor_1", "donor_2"];

/// Simulate the demo's cells: counts in `x` `[960, genes]`, `obs` with `cell_type` and `donor`
/// (both categorical), `var` with the symbols as index and Ensembl ids in `gene_ids`.
///
/// The same species and seed give the same bytes.
///
/// # Errors
/// [`Error::Input`] if the gene table inside the binary is malformed, which a test rules out.
pub fn simulate(species: Species, seed: u64) -> Result<Cells> {
    simulate_with(species, seed, &Parameters::default())
}

/// Simulate cells with other parameters than the demo's.
///
/// # Errors
/// [`Error::Input`] if a parameter has no meaning, such as a negative standard deviation.
pub fn simulate_with(species: Species, seed: u64, parameters: &Parameters) -> Result<Cells> {
    let genes = demo_genes(species)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let model = Model::draw(&genes, parameters, &mut random)?;
    let mut plan = plan_cells(parameters.cells);
    plan.shuffle(&mut random);

    let profiles: Vec<Vec<f64>> =
        plan.iter().map(|cell| model.expression(&genes, *cell, &mut random)).collect();
    let soups: Vec<Vec<f64>> = (0..DONORS.len())
        .map(|donor| {
            let own = plan.iter().zip(&profiles).filter(|(cell, _)| cell.donor == donor);
            mean_profile(own.map(|(_, profile)| profile), genes.len())
        })
        .collect();
    let mut x = CsrMatrix { n_cols: genes.len(), indptr: vec![0], ..CsrMatrix::default() };
    for (cell, profile) in plan.iter().zip(&profiles) {
        let counts = model.counts(profile, &soups[cell.donor], cell.donor, &mut random)?;
        for (gene, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0.0) {
            x.indices.push(gene as u32);
            x.data.push(count);
        }
        x.indptr.push(x.data.len());
    }
    x.n_rows = plan.len();
    Ok(Cells { x, obs: obs(&plan), var: var(&genes), ..Cells::default() })
}

/// What is decided about a cell before its counts.
#[derive(Debug, Clone, Copy)]
struct PlannedCell {
    cell_type: usize,
    donor: usize,
}

/// Fill the types in their shares and the donors in turn, so that both donors hold every type.
fn plan_cells(cells: usize) -> Vec<PlannedCell> {
    let mut plan = Vec::with_capacity(cells);
    let mut reached = 0.0;
    for (cell_type, kind) in CELL_TYPES.iter().enumerate() {
        reached += kind.share;
        // Rounding the running sum, not each share, makes the counts add up.
        while plan.len() < (reached * cells as f64).round() as usize {
            plan.push(PlannedCell { cell_type, donor: plan.len() % DONORS.len() });
        }
    }
    plan
}

/// The drawn parameters of genes and the distributions of cells.
struct Model {
    /// Rate of each gene in each type, `[types][genes]`.
    rates: Vec<Vec<f64>>,
    /// Factor of each gene in each donor, `[donors][genes]`.
    batch: Vec<Vec<f64>>,
    identity: Beta<f64>,
    ambient: Beta<f64>,
    stress: LogNormal<f64>,
    mitochondrial: LogNormal<f64>,
    library_size: Vec<LogNormal<f64>>,
    overdispersion: Gamma<f64>,
    dropout_midpoint: f64,
    dropout_steepness: f64,
}

impl Model {
    fn draw(genes: &[DemoGene], p: &Parameters, random: &mut ChaCha8Rng) -> Result<Self> {
        let spread = log_normal("rate_sigma", 1.0, p.rate_sigma)?;
        let fold = log_normal("fold_change", p.fold_change, p.fold_change_sigma)?;
        let batch = log_normal("batch_sigma", 1.0, p.batch_sigma)?;
        let mut rates = vec![Vec::with_capacity(genes.len()); CELL_TYPES.len()];
        for gene in genes {
            let (spread, fold) = (spread.sample(random), fold.sample(random));
            for (at, rates) in rates.iter_mut().enumerate() {
                rates.push(spread * median_rate(&gene.programme, at, p.off_rate, fold));
            }
        }
        let second: Vec<f64> =
            genes.iter().map(|gene| batch.sample(random) * second_donor(&gene.programme)).collect();
        Ok(Self {
            rates,
            batch: vec![vec![1.0; genes.len()], second],
            identity: beta("identity", p.identity)?,
            ambient: beta("ambient", p.ambient)?,
            stress: log_normal("stress", 1.0, STRESS_SIGMA)?,
            mitochondrial: log_normal("mitochondrial", 1.0, MITOCHONDRIAL_SIGMA)?,
            library_size: p
                .median_counts
                .iter()
                .map(|&median| log_normal("median_counts", median, p.counts_sigma))
                .collect::<Result<_>>()?,
            overdispersion: Gamma::new(1.0 / p.dispersion, p.dispersion)
                .map_err(|_| meaningless("dispersion", p.dispersion))?,
            dropout_midpoint: p.dropout_midpoint,
            dropout_steepness: p.dropout_steepness,
        })
    }

    /// Draw what a cell expresses, as shares of its messenger RNA, `[genes]`.
    fn expression(
        &self,
        genes: &[DemoGene],
        cell: PlannedCell,
        random: &mut ChaCha8Rng,
    ) -> Vec<f64> {
        let kind = &CELL_TYPES[cell.cell_type];
        let identity = self.identity.sample(random);
        let relative = kind.relatives[rand::Rng::random_range(random, 0..kind.relatives.len())];
        let cycling = if rand::Rng::random_bool(random, kind.cycling) { CYCLING_FOLD } else { 1.0 };
        let stress = self.stress.sample(random);
        let mitochondrial = self.mitochondrial.sample(random);
        let rate = |at: usize| {
            let activity = match genes[at].programme {
                Programme::CellCycle => cycling,
                Programme::Stress => stress,
                Programme::Mitochondrial => mitochondrial,
                _ => 1.0,
            };
            let own = self.rates[cell.cell_type][at];
            let other = self.rates[relative][at];
            (identity * own + (1.0 - identity) * other) * activity * self.batch[cell.donor][at]
        };
        let mut profile: Vec<f64> = (0..genes.len()).map(rate).collect();
        let sum: f64 = profile.iter().sum();
        profile.iter_mut().for_each(|value| *value /= sum);
        profile
    }

    /// Draw the counts of a droplet that holds a cell and some soup, `[genes]`.
    fn counts(
        &self,
        profile: &[f64],
        soup: &[f64],
        donor: usize,
        random: &mut ChaCha8Rng,
    ) -> Result<Vec<f32>> {
        let ambient = self.ambient.sample(random);
        let library_size = self.library_size[donor].sample(random);
        let mut counts = Vec::with_capacity(profile.len());
        for (own, soup) in profile.iter().zip(soup) {
            let mean = library_size * ((1.0 - ambient) * own + ambient * soup);
            let rate = mean * self.overdispersion.sample(random);
            // A Poisson of rate 0 does not exist; its count is 0.
            let count = if rate > 0.0 {
                Poisson::new(rate).map_err(|_| meaningless("median_counts", rate))?.sample(random)
            } else {
                0.0
            };
            let lost = 1.0 / (1.0 + (mean / self.dropout_midpoint).powf(self.dropout_steepness));
            // Drawn for every gene, so that a change of dropout leaves the other draws as they are.
            let keep = !rand::Rng::random_bool(random, lost.clamp(0.0, 1.0));
            counts.push(if keep { count as f32 } else { 0.0 });
        }
        Ok(counts)
    }
}

/// The median rate of a gene of `programme` in a cell type, given the fold change drawn for it.
fn median_rate(programme: &Programme, cell_type: usize, off: f64, fold: f64) -> f64 {
    match programme {
        Programme::CellTypes(_) => off * (1.0 + programme.level(cell_type) * (fold - 1.0).max(0.0)),
        Programme::Housekeeping => HOUSEKEEPING_RATE,
        Programme::Ribosome => RIBOSOME_RATE,
        Programme::Mitochondrial => MITOCHONDRIAL_RATE,
        Programme::CellCycle => CELL_CYCLE_RATE,
        Programme::Stress => STRESS_RATE,
        Programme::Donor => DONOR_RATE,
    }
}

/// The systematic part of the second donor's factor: a male that waited longer for dissociation.
fn second_donor(programme: &Programme) -> f64 {
    match programme {
        Programme::Stress => SECOND_DONOR_STRESS,
        Programme::Mitochondrial => SECOND_DONOR_MITOCHONDRIAL,
        Programme::Donor => 0.0,
        _ => 1.0,
    }
}

fn mean_profile<'a>(profiles: impl Iterator<Item = &'a Vec<f64>>, genes: usize) -> Vec<f64> {
    let mut mean = vec![0.0; genes];
    let mut cells = 0.0;
    for profile in profiles {
        mean.iter_mut().zip(profile).for_each(|(sum, value)| *sum += value);
        cells += 1.0;
    }
    mean.iter_mut().for_each(|value| *value /= f64::max(cells, 1.0));
    mean
}

fn obs(plan: &[PlannedCell]) -> Frame {
    let column = |text: fn(&PlannedCell) -> &'static str| {
        let values: Vec<Option<String>> =
            plan.iter().map(|cell| Some(text(cell).to_string())).collect();
        Column::categorical(&values)
    };
    Frame {
        index: (1..=plan.len()).map(|number| format!("cell_{number:04}")).collect(),
        columns: vec![
            ("cell_type".to_string(), column(|cell| CELL_TYPES[cell.cell_type].name)),
            ("donor".to_string(), column(|cell| DONORS[cell.donor])),
        ],
    }
}

fn var(genes: &[DemoGene]) -> Frame {
    let ensembl = genes.iter().map(|gene| Some(gene.ensembl.clone())).collect();
    Frame {
        index: genes.iter().map(|gene| gene.symbol.clone()).collect(),
        columns: vec![("gene_ids".to_string(), Column::Text(ensembl))],
    }
}

fn log_normal(name: &str, median: f64, sigma: f64) -> Result<LogNormal<f64>> {
    if !(median > 0.0 && sigma >= 0.0) {
        return Err(meaningless(name, if median > 0.0 { sigma } else { median }));
    }
    LogNormal::new(median.ln(), sigma).map_err(|_| meaningless(name, sigma))
}

fn beta(name: &str, shapes: [f64; 2]) -> Result<Beta<f64>> {
    Beta::new(shapes[0], shapes[1]).map_err(|_| meaningless(name, shapes[0].min(shapes[1])))
}

fn meaningless(name: &str, value: f64) -> Error {
    let place = format!("simulator parameter {name}");
    Error::input(place, "a positive finite number", value, "change the parameter")
}
