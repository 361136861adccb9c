"""Decisions: verdicts to actions. Short names for `use` in a recipe's `[[rules]]`."""

RULES = {
    "adapt_step": "insitu.decisions.adapt:AdaptStep",
    "agree": "insitu.decisions.agree:Agree",
    "finish_when": "insitu.decisions.finish:FinishWhen",
    "halt_after": "insitu.decisions.halt:HaltAfter",
    "pause_on": "insitu.decisions.pause:PauseOn",
}
