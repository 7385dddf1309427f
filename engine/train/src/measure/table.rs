//! The table of measures.

use paring_model::Task;

use super::{Direction, MeasureInfo};

const CLASSIFY: &[Task] = &[Task::Classify];
const REGRESS: &[Task] = &[Task::Regress];
const EMBED: &[Task] = &[Task::Embed];
const GENERATE: &[Task] = &[Task::Generate];
const BOTH: &[Task] = &[Task::Classify, Task::Regress];

/// Every measure, in the order in which tables show them.
pub const MEASURES: &[MeasureInfo] = &[
    score("accuracy", "share of rows whose most likely class is right", CLASSIFY),
    score("balanced_accuracy", "mean over the classes of the share of their rows that are right", CLASSIFY),
    score("f1", "F1 score, the mean over the classes (macro)", CLASSIFY),
    score("roc_auc", "area under the ROC curve; over two classes, the mean of each against the rest", CLASSIFY),
    error("log_loss", "mean negative logarithm of the probability given to the right class", CLASSIFY),
    error("rmse", "root of the mean squared error, in the target's unit", REGRESS),
    error("mae", "mean absolute error, in the target's unit", REGRESS),
    score("r2", "share of the target's variance that is explained", REGRESS),
    error("loss", "cross-entropy of the logits, or mean squared error of the standardized target", BOTH),
    alike("cosine", "mean cosine of embeddings and those of the model before all stages", Direction::Higher, "", EMBED),
    alike("cosine_p1", "that cosine, below which 1% of the rows lie", Direction::Higher, "", EMBED),
    alike("cosine_min", "the smallest of these cosines", Direction::Higher, "", EMBED),
    score("spearman", "rank correlation of the cosine of two texts and how alike they are said to be", EMBED),
    score("recall_at_1", "share of texts whose own pair has the highest cosine of all second texts", EMBED),
    score("recall_at_10", "share of texts whose own pair is among the 10 second texts of highest cosine", EMBED),
    error(
        "perplexity",
        "exponential of the mean negative log-likelihood of the next token, each window run alone from its first token",
        GENERATE,
    ),
    alike(
        "kl_divergence",
        "mean divergence of the next token's distribution from that of the model before all stages",
        Direction::Lower,
        "nats",
        GENERATE,
    ),
    alike(
        "top1_agreement",
        "share of positions with the same most likely next token as the model before all stages",
        Direction::Higher,
        "",
        GENERATE,
    ),
    cost("size", "weights file, packed, header included", "bytes"),
    cost("params", "numbers in all weights; a quantized one counts as one", ""),
    cost("nonzeros", "numbers in all weights that are not zero", ""),
    cost("bits_per_weight", "stored bits of all weights with their scales and zero points, over params", "bits"),
    cost("macs", "multiply-accumulate operations for one row, zeros included", ""),
    speed("prefill_speed", "tokens a second while a text of 128 tokens is read, warm"),
    speed("decode_speed", "tokens a second while 16 tokens are written after it, warm"),
    run("latency", "median time of one warm forward pass", "ms"),
    run("latency_p95", "95th percentile of the time of one warm forward pass", "ms"),
    MeasureInfo {
        direction: Direction::Higher,
        ..run("throughput", "rows a second in batches of 64, by the median time of a warm forward pass", "rows/s")
    },
    run("peak_memory", "highest resident memory of the whole process during one forward pass (Linux)", "bytes"),
];

/// Compares with the model before all stages.
const fn alike(
    name: &'static str,
    summary: &'static str,
    direction: Direction,
    unit: &'static str,
    tasks: &'static [Task],
) -> MeasureInfo {
    MeasureInfo { name, summary, direction, unit, timing: false, needs_rows: true, needs_baseline: true, tasks }
}

/// Higher is better.
const fn score(name: &'static str, summary: &'static str, tasks: &'static [Task]) -> MeasureInfo {
    MeasureInfo {
        name,
        summary,
        direction: Direction::Higher,
        unit: "",
        timing: false,
        needs_rows: true,
        needs_baseline: false,
        tasks,
    }
}

/// Lower is better.
const fn error(name: &'static str, summary: &'static str, tasks: &'static [Task]) -> MeasureInfo {
    MeasureInfo {
        name,
        summary,
        direction: Direction::Lower,
        unit: "",
        timing: false,
        needs_rows: true,
        needs_baseline: false,
        tasks,
    }
}

/// Follows from the weights alone.
const fn cost(name: &'static str, summary: &'static str, unit: &'static str) -> MeasureInfo {
    MeasureInfo {
        name,
        summary,
        direction: Direction::Lower,
        unit,
        timing: false,
        needs_rows: false,
        needs_baseline: false,
        tasks: &[],
    }
}

/// Tokens a second, of a model that continues texts.
const fn speed(name: &'static str, summary: &'static str) -> MeasureInfo {
    let direction = Direction::Higher;
    MeasureInfo {
        name,
        summary,
        direction,
        unit: "tokens/s",
        timing: true,
        needs_rows: false,
        needs_baseline: false,
        tasks: GENERATE,
    }
}

/// Differs from run to run.
const fn run(name: &'static str, summary: &'static str, unit: &'static str) -> MeasureInfo {
    MeasureInfo {
        name,
        summary,
        direction: Direction::Lower,
        unit,
        timing: true,
        needs_rows: false,
        needs_baseline: false,
        tasks: &[],
    }
}
