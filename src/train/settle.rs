//! After the last step: how sure the annotator may be, and the genes' own weights learned of all labelled cells
//! that it may learn from.

use burn::tensor::backend::Backend;
use screader_models::annotator::Annotator;
use screader_models::trainable::Trainable;

use super::calibrate::Calibration;
use super::checkpoint::Checkpoint;
use super::evaluate::read_cells;
use super::task::Task;
use crate::Result;
use crate::cells::Dense;

/// Calibrate `best`, whose trained tensors are `trainable`, on the validation cells of `task`; then, since these have
/// told all that they can as cells that were held out, learn the genes' own weights of them too. Distances from the
/// types stay as they were calibrated. Without validation cells nothing changes.
///
/// # Errors
/// Scores that are not finite.
pub fn settle<B: Backend>(
    best: &mut Checkpoint,
    task: &mut Task,
    annotator: &Annotator<B>,
    trainable: &Trainable<B>,
) -> Result<()> {
    let cells = &task.split.validation;
    if cells.is_empty() {
        return Ok(());
    }
    let size = best.config.train.micro_batch_size;
    let values = read_cells(annotator, trainable, &task.readable, cells, size, |_| {}).logits;
    let network = Dense { n_rows: cells.len(), n_cols: task.classes.len(), values };
    best.card.calibration = Some(Calibration::fit(task, &network, &best.config.infer)?);
    if task.statistics.weights.is_some() {
        task.learn_gene_weights_of_all()?;
        best.statistics.weights.clone_from(&task.statistics.weights);
    }
    Ok(())
}
