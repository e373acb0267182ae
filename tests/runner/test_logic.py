"""The task `logic`: its own checks, an independent solver, exact depth, and what it refuses."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalefit.errors import UsageError
from scalefit.runner.tasks.entailment import Formula, Step, check_model, check_proof, depths, facts, negate, one_step
from scalefit.runner.tasks.logic import RULES, Logic, deepest, longest_proof
from scalefit.runner.tasks.task import Score

CASES = [(fragment, depth) for fragment in RULES for depth in (1, 2, 5, deepest(fragment))]


class Solver:
    """z3, on premises it translates itself: letters without quantifier are propositions, the others predicates."""

    def __init__(self):
        self.z3 = pytest.importorskip("z3")
        self.sort, self.objects = self.z3.DeclareSort("Object"), {}

    def literal(self, text, variable=None):
        z3, bare = self.z3, text.lstrip("-")
        if variable is None and len(bare) == 1:
            atom = z3.Bool(bare)
        else:
            place = variable if variable is not None else z3.Const("o" + bare[1], self.sort)
            atom = z3.Function(bare[0], self.sort, z3.BoolSort())(place)
        return z3.Not(atom) if text[0] == "-" else atom

    def formula(self, text):
        z3 = self.z3
        x = z3.Const("x", self.sort) if text[0] == "@" else None
        body, arrow, head = text.removeprefix("@").rpartition(">")
        said = z3.Or([self.literal(part, x) for part in head.split("|")])
        if arrow:
            said = z3.Implies(z3.And([self.literal(part, x) for part in body.split("&")]), said)
        return z3.ForAll([x], said) if x is not None else said

    def entails(self, texts, literal):
        solver = self.z3.Solver()
        solver.add(*map(self.formula, texts), self.z3.Not(self.literal(literal)))
        return solver.check() == self.z3.unsat

    def consistent(self, texts):
        solver = self.z3.Solver()
        solver.add(*map(self.formula, texts))
        return solver.check() == self.z3.sat


def parts(prompt):
    return prompt.removesuffix("=").split(";")


@pytest.mark.parametrize(("fragment", "depth"), CASES)
def test_certificates_hold_and_the_depth_is_exact(fragment, depth):
    task = Logic(fragment, depth, letters=52, pretrain_depth=1)
    for index in range(40):
        problem = task.problem("train", index)
        assert check_proof(problem.premises, problem.objects, problem.proof) is None
        assert check_model(problem.premises, problem.objects, problem.model) is None
        assert not any(problem.model[d[-1].lstrip("-")] == (d[-1][0] != "-") for d in problem.decoys)
        found = depths(problem.premises, problem.objects)
        assert [found[literal] for literal in problem.chain] == list(range(depth + 1))
        assert [literal for literal in found if found[literal] >= depth] == [problem.chain[-1]]
        assert found.keys().isdisjoint(itertools.chain(*problem.decoys))
        assert [step.derives for step in problem.proof] == list(problem.chain[1:])


@pytest.mark.parametrize(("fragment", "depth"), CASES)
@pytest.mark.parametrize("decoys", [1, 2])
@pytest.mark.slow
def test_an_independent_solver_agrees(fragment, depth, decoys):
    """z3 proves the answer and no decoy, and needs every formula of the proof: there is no way round a step."""
    solver = Solver()
    task = Logic(fragment, min(depth, deepest(fragment, decoys)), decoys, letters=52, pretrain_depth=1)
    for index in range(8 if depth <= 5 else 2):
        example, problem = task.draw("eval", index), task.problem("eval", index)
        premises = parts(example.prompt)
        assert solver.consistent(premises)
        assert all(solver.entails(premises, literal) for literal in problem.chain)
        assert len(problem.decoys) == decoys
        assert not any(solver.entails(premises, literal) for decoy in problem.decoys for literal in decoy)
        for formula in {one.text for step in problem.proof for one in step.uses}:
            assert not solver.entails([one for one in premises if one != formula], example.answer), formula


def test_each_rule_is_sound_by_truth_tables():
    """Every step from eight random formulas over four letters, against all assignments."""
    import random

    rng, seen = random.Random(0), set()
    shapes = [(0, 1), (1, 1), (1, 1), (1, 2), (2, 1)]
    for _ in range(4000):
        formulas = []
        for body, head in rng.choices(shapes, k=8):
            some = [rng.choice(("", "", "", "-")) + letter for letter in rng.sample("abcd", body + head)]
            formulas.append(Formula(tuple(some[:body]), tuple(some[body:])))
        known = facts(formulas)
        for step in one_step(formulas, ("",), known):
            seen.add(step.rule)
            for values in itertools.product((False, True), repeat=4):
                model = dict(zip("abcd", values, strict=True))
                holds = check_model([*formulas, *(Formula((), (literal,)) for literal in known)], ("",), model) is None
                assert not holds or model[step.derives.lstrip("-")] == (step.derives[0] != "-"), step
    assert seen == set(RULES["quantifiers"])


def test_false_proofs_and_models_are_found_out():
    a, ab, bc = Formula((), ("a",)), Formula(("a",), ("b",)), Formula(("b",), ("c",))
    right = [Step("implication", (ab,), "b"), Step("implication", (bc,), "c")]
    assert check_proof([a, ab, bc], ("",), right) is None
    assert "line 1" in check_proof([a, ab, bc], ("",), right[1:])
    assert "is not given" in check_proof([a, bc], ("",), right)
    assert check_model([a, ab], ("",), {"a": True, "b": False}) == "a>b"


@given(
    st.sampled_from(list(RULES)),
    st.integers(1, 4),
    st.integers(0, 10**9),
    st.sampled_from(["train", "eval", "pretrain"]),
)
def test_examples_are_pure_and_scored(fragment, depth, index, split):
    task = Logic(fragment, depth, pretrain_depth=3)
    example = task.draw(split, index)
    assert task.draw(split, index) == example
    assert set(example.prompt + example.worked) <= set(task.alphabet)
    assert len(example.worked) <= longest_proof(fragment, example.steps)
    assert example.steps == (depth if split != "pretrain" else example.difficulty)
    assert task.score(example.worked, example) == task.score(example.answer, example) == Score(1.0, True)
    assert task.score(f"So the answer is: {example.answer}.", example) == Score(1.0, True)
    wrong = task.corrupt(example, index)
    assert task.score(wrong, example) == Score(0.0, True)
    assert task.score(negate(example.answer), example).reward == 0
    for junk in ("", "=", "-", example.answer + ";", "7"):
        assert task.score(junk, example) == Score(0.0, False)


def test_pretraining_is_shared_by_depths_and_no_question_is_in_two_splits():
    shallow, deep = Logic("conjunction", 2, pretrain_depth=6), Logic("conjunction", 6, pretrain_depth=6)
    assert repr(shallow) == repr(deep)
    assert [shallow.draw("pretrain", at) for at in range(50)] == [deep.draw("pretrain", at) for at in range(50)]
    assert {deep.draw("pretrain", at).steps for at in range(100)} == set(range(1, 7))
    seen = {deep.draw(split, at).prompt for split in ("train", "pretrain") for at in range(300)}
    assert not seen & {deep.draw("eval", at).prompt for at in range(300)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("implication", 13), "reaches depths from 1 to 12"),
        (("quantifiers", 5), "reaches depths from 1 to 4"),
        (("quantifiers", 9, 1, 52), "reaches depths from 1 to 8"),
        (("implication", 2, 1, 60), "there are 52"),
        (("implication", 0), "reaches depths"),
        (("negations", 2), "did you mean 'negation'"),
        (("negation", 2, 0), "whatever is written follows"),
        (("negation", 2, 1, 26, 99), "pretrain_depth = 99"),
    ],
)
def test_what_cannot_be_is_refused(arguments, said):
    with pytest.raises(UsageError, match=said):
        Logic(*arguments)
