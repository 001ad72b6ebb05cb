//! The conversation in which a model asks for searches.

use serde_json::{Value, json};

use super::hit::Found;
use super::{HITS, NcbiDatabase, ROUNDS, SearchEngines};
use crate::Result;
use crate::llm::foreign::foreign_text;
use crate::llm::{ChatAnswer, ChatModel, ChatRequest, Tool, ToolCall, ToolRound, Turn, Usage};

/// Calls of one round that are answered.
const CALLS: usize = 4;
/// The longest part of a wrong call that is shown back, in characters.
const SHOWN: usize = 80;

/// Ask with tools; `None` where the model cannot call them.
pub(super) fn ask(
    model: &dyn ChatModel,
    engines: &SearchEngines,
    request: &ChatRequest,
) -> Result<Option<ChatAnswer>> {
    let tools = tools(engines);
    let mut found = Found::default();
    let mut usage = Usage::default();
    let mut notes: Vec<String> = Vec::new();
    let mut rounds: Vec<ToolRound> = Vec::new();
    let answer = loop {
        // After the last round the tools are gone, so that there is an answer.
        let offered: &[Tool] = if rounds.len() < ROUNDS { &tools } else { &[] };
        let Some(Turn { mut answer, calls }) = model.turn(request, offered, &rounds)? else {
            return Ok(None);
        };
        usage += answer.usage;
        notes.append(&mut answer.notes);
        if calls.is_empty() || offered.is_empty() {
            break answer;
        }
        let results = run(engines, &calls, &mut found);
        let ChatAnswer { text, reasoning, .. } = answer;
        rounds.push(ToolRound { text, reasoning, calls, results });
    };
    found.check()?;
    let mut answer = answer;
    // Some providers follow a schema only where no tools are offered.
    if request.schema.is_some()
        && serde_json::from_str::<Value>(&answer.text).is_err()
        && let Some(turn) = model.turn(request, &[], &rounds)?
    {
        usage += turn.answer.usage;
        answer = turn.answer;
        notes.append(&mut answer.notes);
    }
    notes.dedup();
    if !found.searched() {
        notes.push("the model did not search".to_owned());
    }
    answer.usage = usage;
    answer.notes = notes;
    found.credit(&mut answer);
    Ok(Some(answer))
}

fn tools(engines: &SearchEngines) -> Vec<Tool> {
    let query = json!({"type": "string", "description": "a few words"});
    let web = Tool {
        name: "search_web",
        description: "Search the web, as for what cells a set of marker genes is known from.",
        parameters: json!({
            "type": "object", "properties": {"query": query},
            "required": ["query"], "additionalProperties": false,
        }),
    };
    let ncbi = Tool {
        name: "search_ncbi",
        description: "Search NCBI: database gene for what a gene does, pubmed for papers.",
        parameters: json!({
            "type": "object",
            "properties": {"query": query, "database": {"type": "string", "enum": ["gene", "pubmed"]}},
            "required": ["query", "database"], "additionalProperties": false,
        }),
    };
    let web = engines.web.is_some().then_some(web);
    web.into_iter().chain(engines.ncbi.is_some().then_some(ncbi)).collect()
}

fn run(engines: &SearchEngines, calls: &[ToolCall], found: &mut Found) -> Vec<String> {
    let one = |(at, call): (usize, &ToolCall)| match at < CALLS {
        true => run_one(engines, call, found),
        false => format!("not searched: at most {CALLS} searches at once"),
    };
    calls.iter().enumerate().map(one).collect()
}

/// Run a call; what is wrong with it is told to the model, which may do better.
fn run_one(engines: &SearchEngines, call: &ToolCall, found: &mut Found) -> String {
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
    let Some(query) = arguments["query"].as_str().filter(|query| !query.trim().is_empty()) else {
        return "not searched: the arguments must be an object with the text `query`".to_owned();
    };
    let database = match arguments["database"].as_str() {
        Some("pubmed") => NcbiDatabase::Pubmed,
        _ => NcbiDatabase::Gene,
    };
    match (call.name.as_str(), &engines.web, &engines.ncbi) {
        ("search_web", Some(web), _) => found.add(query, web.search(query, HITS)),
        ("search_ncbi", _, Some(ncbi)) => found.add(query, ncbi.search(database, query, HITS)),
        _ => format!("there is no tool {:?}", foreign_text(&call.name, SHOWN)),
    }
}
