//! The demo's tissue: eight cell types of the pancreas and the programmes that switch genes on.

/// A cell type of the demo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DemoCellType {
    /// The label in `obs["cell_type"]`.
    pub name: &'static str,
    /// Name in the programme column of `demo/genes.tsv`.
    key: &'static str,
    /// Share of all cells. Uneven, as tissues are; beta cells lead as in rodent islets.
    pub share: f64,
    /// Types (indices) that a cell of weak identity resembles: its sisters in development.
    pub relatives: &'static [usize],
    /// Share of cells in S or G2/M phase: hormone cells of the adult hardly divide.
    pub cycling: f64,
}

const fn cell_type(
    name: &'static str,
    key: &'static str,
    share: f64,
    relatives: &'static [usize],
    cycling: f64,
) -> DemoCellType {
    DemoCellType { name, key, share, relatives, cycling }
}

/// The demo's cell types. Shares add to 1.
pub const CELL_TYPES: [DemoCellType; 8] = [
    cell_type("alpha cell", "alpha", 0.15, &[1, 2], 0.01),
    cell_type("beta cell", "beta", 0.27, &[0, 2], 0.01),
    cell_type("delta cell", "delta", 0.08, &[0, 1], 0.01),
    cell_type("acinar cell", "acinar", 0.13, &[4], 0.04),
    cell_type("ductal cell", "ductal", 0.12, &[3], 0.06),
    cell_type("endothelial cell", "endothelial", 0.10, &[6], 0.06),
    cell_type("stellate cell", "stellate", 0.08, &[5], 0.06),
    cell_type("macrophage", "macrophage", 0.07, &[5, 6], 0.08),
];

/// What switches a gene on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Programme {
    /// Cell types, each at a level: 0 off, 1 on, `LOW` or `HIGH`.
    CellTypes([f64; 8]),
    /// On everywhere.
    Housekeeping,
    /// Proteins of the ribosome: on everywhere, strongly.
    Ribosome,
    /// Transcripts of mitochondrial DNA: on everywhere, most strongly, and more in damaged cells.
    Mitochondrial,
    /// On in dividing cells.
    CellCycle,
    /// Immediate early and heat-shock genes, which dissociating a tissue induces.
    Stress,
    /// On in the female donor only (`Xist`).
    Donor,
}

/// Level of a type that expresses a gene weakly (`_low`).
pub const LOW: f64 = 0.25;
/// Level of hormones, digestive enzymes and collagens in the cells that live by making them (`_high`).
pub const HIGH: f64 = 10.0;

impl Programme {
    /// Read the programme column of `demo/genes.tsv`: `stress`, `alpha_high`, `ductal+acinar_low`,
    /// or a group of types, `endocrine`. `None` if a name is unknown.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "housekeeping" => return Some(Self::Housekeeping),
            "ribosome" => return Some(Self::Ribosome),
            "mitochondrial" => return Some(Self::Mitochondrial),
            "cell_cycle" => return Some(Self::CellCycle),
            "stress" => return Some(Self::Stress),
            "donor" => return Some(Self::Donor),
            _ => {}
        }
        let mut levels = [0.0; 8];
        for part in text.split('+') {
            let (name, level) = match part.rsplit_once('_') {
                Some((name, "low")) => (name, LOW),
                Some((name, "high")) => (name, HIGH),
                _ => (part, 1.0),
            };
            let members: &[&str] = match name {
                "endocrine" => &["alpha", "beta", "delta"],
                "epithelial" => &["alpha", "beta", "delta", "acinar", "ductal"],
                "stroma" => &["endothelial", "stellate"],
                _ => &[name],
            };
            for member in members {
                let at = CELL_TYPES.iter().position(|kind| kind.key == *member)?;
                levels[at] = level;
            }
        }
        Some(Self::CellTypes(levels))
    }

    /// Return how strongly a cell type (index into [`CELL_TYPES`]) switches the gene on; 0 for the
    /// programmes that no type owns.
    pub fn level(&self, cell_type: usize) -> f64 {
        match self {
            Self::CellTypes(levels) => levels.get(cell_type).copied().unwrap_or(0.0),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_to_one_and_the_majority_is_a_quarter_to_a_third() {
        let sum: f64 = CELL_TYPES.iter().map(|kind| kind.share).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        let largest = CELL_TYPES.iter().map(|kind| kind.share).fold(0.0, f64::max);
        assert!((0.25..=0.30).contains(&largest), "{largest}");
    }

    #[test]
    fn programmes_are_read_with_their_levels() {
        let mixed = Programme::parse("alpha_high+ductal+beta_low").unwrap();
        assert_eq!(mixed, Programme::CellTypes([10.0, 0.25, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]));
        let group = Programme::parse("stroma").unwrap();
        assert_eq!(group, Programme::CellTypes([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]));
        assert_eq!(Programme::parse("neuron"), None);
        assert_eq!(Programme::parse("neuron_low"), None);
    }
}
