//! The methods that can be asked for, by name.

use std::path::Path;

use super::material::Material;
use super::methods::{expression, genept, majority, screader};
use super::outcome::Reply;
use super::summary::Role;
use super::trial::Trial;
use crate::device::Device;
use crate::{Error, Result};

/// What a method may use beside the trial.
pub struct Context<'a> {
    /// What the trials share.
    pub material: &'a Material,
    /// Where networks run.
    pub device: Device,
    /// A folder of its own, for what it keeps to go on with after an interruption.
    pub folder: &'a Path,
    /// Embeddings of cell sentences, which several methods and trials share.
    pub sentences: &'a genept::SentenceCache,
}

/// What a method is called, and what it is in the comparison.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Name on the command line.
    pub name: &'static str,
    /// Name in tables and figures.
    pub label: &'static str,
    /// What it is in the comparison.
    pub role: Role,
}

/// A way to name cells.
pub trait Method {
    /// What it is called.
    fn about(&self) -> About;

    /// Everything but the trial that its answer depends on, as a text; other text, other answers.
    fn depends_on(&self, material: &Material) -> String;

    /// Learn from the trial's cells and name its test cells.
    ///
    /// # Errors
    /// What goes wrong; that the setting leaves it no way to answer is no error but a reply.
    fn answer(&self, trial: &Trial<'_>, context: &Context<'_>) -> Result<Reply>;
}

/// All methods, in the order of the report.
pub fn all() -> Vec<Box<dyn Method>> {
    let mut methods: Vec<Box<dyn Method>> = Vec::new();
    methods.extend(screader::all().into_iter().map(|method| Box::new(method) as Box<dyn Method>));
    methods.extend(genept::all().into_iter().map(|method| Box::new(method) as Box<dyn Method>));
    methods.extend(expression::all().into_iter().map(|method| Box::new(method) as Box<dyn Method>));
    methods.push(Box::new(majority::Majority));
    methods
}

/// The methods of these names, in the order of the report; without names, all but
/// those that are run on request alone.
///
/// # Errors
/// A name that is none.
pub fn named(names: &[String]) -> Result<Vec<Box<dyn Method>>> {
    let all = all();
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|one| one.about().name != *name))
    {
        let known: Vec<&str> = all.iter().map(|method| method.about().name).collect();
        return Err(Error::input("--methods", known.join(", "), unknown, "choose among these"));
    }
    let is_wanted = |method: &dyn Method| match names.is_empty() {
        true => !screader::ON_REQUEST.contains(&method.about().name),
        false => names.iter().any(|name| name == method.about().name),
    };
    Ok(all.into_iter().filter(|method| is_wanted(method.as_ref())).collect())
}
