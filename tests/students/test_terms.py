"""The one loss of all methods against sums written out by hand, terms of one's own, and that what is not used brings in nothing."""

import functools
import types

import chex
import jax
import jax.numpy as jnp
import methods
import numpy as np
import optax
import pytest
from scipy.special import log_softmax, logsumexp, softmax

from purejaxrrl import replay
from purejaxrrl.students import losses, qdagger, student
from purejaxrrl.students.hyperparameters import as_arrays, hyperparameter, replace, stack
from purejaxrrl.students.settings import QDagger
from purejaxrrl.students.student import Learner, Output, Student

B, A = 16, 4
GENERATOR = np.random.default_rng(1)
Q, TARGET, TEACHER = (GENERATOR.normal(size=(3, B, A)) * 2).astype(np.float32)
BATCH = replay.Batch(
    observation=None,
    action=GENERATOR.integers(0, A, B),
    n_step_return=GENERATOR.normal(size=B).astype(np.float32),
    bootstrap_discount=np.where(GENERATOR.random(B) < 0.3, 0.0, 0.97).astype(np.float32),
    bootstrap_observation=None,
    teacher_output=TEACHER,
    extras=None,
    valid=(GENERATOR.random(B) < 0.8).astype(np.float32),
    importance=GENERATOR.uniform(0.2, 1.0, B).astype(np.float32),
    row=np.zeros(B, np.int32),
    environment=np.zeros(B, np.int32),
)
LAMBDA, STEPS = 0.6, 50_000


def method(name, **changes):
    return replace(methods.settings(name, STEPS), **changes)


def context_of(q_values, coefficient=LAMBDA, is_online=True, target=TARGET, teacher=None):
    return losses.Context(
        online=Output(jnp.asarray(q_values)),
        online_next=None,
        target_next=Output(target),
        batch=BATCH,
        teacher_log_policy=log_softmax(TEACHER / 0.3, -1) if teacher is None else teacher,
        weaning_coefficient=jnp.float32(coefficient),
        is_online=is_online,
    )


def evaluate(settings, q_values=Q, **context):
    """Loss, report and gradient, as `qdagger.update` puts them together."""

    def loss(q_values):
        seen = context_of(q_values, **context)
        masked = losses.masked(seen, hyperparameters.td_weight)
        td_loss, _ = student.q_learning(masked.online, None, masked.target_next, BATCH, hyperparameters)
        return losses.total(seen, td_loss, hyperparameters.td_weight, settings.terms, hyperparameters)

    hyperparameters = as_arrays(settings)
    (total, report), gradient = jax.value_and_grad(loss, has_aux=True)(jnp.asarray(q_values))
    return total, report, gradient


def mean(values):
    """sum(loss * importance * valid) / sum(valid)."""
    return (values * BATCH.importance)[BATCH.valid > 0].mean()


def td_by_hand():
    errors = Q[np.arange(B), BATCH.action] - (BATCH.n_step_return + BATCH.bootstrap_discount * TARGET.max(-1))
    return mean(np.where(abs(errors) <= 1, errors**2 / 2, abs(errors) - 0.5))


def kl_by_hand(best_action_only=False):
    student = log_softmax(Q / 0.3, -1)
    if best_action_only:
        return mean(-student[np.arange(B), TEACHER.argmax(-1)])
    policy = softmax(TEACHER / 0.3, -1)
    return mean((policy * (np.log(policy) - student)).sum(-1))


def margin_by_hand(elementwise=True):
    best = TEACHER.argmax(-1)
    ahead = Q + 1.0 * (np.arange(A) != best[:, None]) - Q[np.arange(B), best][:, None]
    return mean(np.maximum(ahead, 0).mean(-1) if elementwise else ahead.max(-1))


def cql_by_hand():
    return mean(logsumexp(Q / 0.1, axis=-1) - Q[np.arange(B), BATCH.action] / 0.1)


CASES = {
    "tabula_rasa": lambda: td_by_hand(),
    "rehearsal": lambda: td_by_hand(),
    "jsrl": lambda: td_by_hand(),
    "kickstarting": lambda: td_by_hand() + LAMBDA * 3.0 * kl_by_hand(),
    "qdagger": lambda: td_by_hand() + LAMBDA * 3.0 * kl_by_hand(),
    "qdagger_best_action": lambda: td_by_hand() + LAMBDA * 3.0 * kl_by_hand(best_action_only=True),
    "dagger": lambda: LAMBDA * 3.0 * kl_by_hand(),
    "dqfd": lambda: td_by_hand() + LAMBDA * 1.0 * margin_by_hand(),
    "dqfd_large_margin": lambda: td_by_hand() + LAMBDA * 1.0 * margin_by_hand(elementwise=False),
}


@pytest.mark.parametrize("name", CASES)
def test_the_loss_of_each_method_by_hand(name):
    total, _, _ = evaluate(method(name))
    np.testing.assert_allclose(total, CASES[name](), rtol=1e-4)


def table_program(settings):
    """A program whose student's parameters are the batch's Q-values themselves, and whose optimiser is the plain gradient."""
    table = Student(
        init=lambda key: jnp.asarray(Q),
        apply=lambda params, observations, key: Output(params),
        td_loss=student.q_learning,
        optimiser=lambda hyperparameters: optax.identity(),
    )
    teacher = types.SimpleNamespace(card=types.SimpleNamespace(output="q_values"))
    return qdagger.Program(settings, None, None, None, table, None, None, teacher, None)


def test_a_teachers_logits_are_distilled_as_they_are():
    """Without the temperature that Q-values are divided by."""
    program = table_program(method("qdagger"))
    program.teacher.card.output = "logits"
    learner = Learner(jnp.asarray(Q), jnp.asarray(TARGET), optax.identity().init(Q))
    arguments = as_arrays(program.settings), learner, BATCH, jax.random.key(0), jnp.float32(LAMBDA)
    report = qdagger.update(program, *arguments, is_online=True)[2]
    policy = softmax(TEACHER, -1)
    expected = mean((policy * (np.log(policy) - log_softmax(Q / 0.3, -1))).sum(-1))
    assert float(report["distillation_loss"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["tabula_rasa", "qdagger", "dagger", "dqfd", "pretraining"])
@pytest.mark.parametrize("is_online", [True, False])
def test_an_update_goes_down_that_loss_at_the_rate_that_follows_lambda(name, is_online):
    settings = method(name, teacher_temperature=0.3, offline_learning_rate=0.125)
    hyperparameters = as_arrays(settings)
    learner = Learner(jnp.asarray(Q), jnp.asarray(TARGET), optax.identity().init(Q))
    update = jax.jit(functools.partial(qdagger.update, table_program(settings), is_online=is_online))
    after, priority, report = update(hyperparameters, learner, BATCH, jax.random.key(0), jnp.float32(LAMBDA))
    _, expected, gradient = evaluate(settings, is_online=is_online)
    mixed = LAMBDA * settings.learning_rate + (1 - LAMBDA) * settings.weaned_learning_rate
    rate = mixed if is_online else 0.125
    np.testing.assert_allclose(after.params, Q - rate * np.asarray(gradient), rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(report, expected, rtol=1e-4, atol=1e-6)
    assert set(report) == {"td_loss", "distillation_loss", "margin_loss", "cql_loss", "q_value"}
    np.testing.assert_allclose(report["q_value"], Q.max(-1).mean(), rtol=1e-4)
    assert priority.shape == (B,) and (priority > 0).all()


def test_offline_pretraining_adds_cql_and_only_offline():
    settings = method("pretraining")
    weight = settings.cql_coefficient
    assert weight > 0 and settings.online_cql_coefficient == 0.0
    total, report, _ = evaluate(settings, coefficient=0.0, is_online=False)
    np.testing.assert_allclose(total, td_by_hand() + weight * cql_by_hand(), rtol=1e-4)
    np.testing.assert_allclose(report["cql_loss"], cql_by_hand(), rtol=1e-4)
    online, report, _ = evaluate(settings, coefficient=0.0)
    np.testing.assert_allclose(online, td_by_hand(), rtol=1e-5)
    assert report["cql_loss"] == 0.0


def test_at_lambda_0_every_method_with_a_td_term_is_q_learning():
    for name in methods.METHODS:
        settings = method(name)
        total, _, _ = evaluate(settings, coefficient=0.0)
        np.testing.assert_allclose(total, settings.td_coefficient * td_by_hand(), rtol=1e-5, err_msg=name)


def test_a_teacher_full_of_nan_does_not_reach_a_method_that_does_not_use_it():
    bad = np.full((B, A), np.nan, np.float32)
    clean, dirty = evaluate(method("tabula_rasa")), evaluate(method("tabula_rasa"), teacher=bad)
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)


def test_a_target_full_of_nan_does_not_reach_dagger():
    clean, dirty = evaluate(method("dagger")), evaluate(method("dagger"), target=np.full((B, A), np.nan, np.float32))
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)


def test_methods_side_by_side_have_the_losses_that_they_have_alone():
    names = [name for name in CASES if method(name).rehearsal_fraction == 0]  # rehearsal is a program of its own
    alike = [method(name, offline_iterations=0) for name in names]

    def total(hyperparameters):
        seen = context_of(Q)
        masked = losses.masked(seen, hyperparameters.td_weight)
        td_loss, _ = student.q_learning(masked.online, None, masked.target_next, BATCH, hyperparameters)
        return losses.total(seen, td_loss, hyperparameters.td_weight, QDagger.terms, hyperparameters)[0]

    together = jax.vmap(total)(stack(alike))
    np.testing.assert_allclose(together, [evaluate(method(name))[0] for name in names], rtol=1e-5)


@losses.term(
    weight=lambda context, hyperparameters: context.weaning_coefficient * hyperparameters.squares_coefficient,
    squares_coefficient=hyperparameter(0.5, "of the sum of squares, times lambda", minimum=0),
    squares_power=hyperparameter(2, "of each Q-value", static=True, minimum=1),
)
def squares(context, hyperparameters):
    return (context.online.q_values**hyperparameters.squares_power).sum(-1)


WithSquares = losses.with_term(QDagger, squares)


def without_teacher(**changes):
    return WithSquares(distillation_coefficient=0.0, n_step=1, **changes)


def test_a_term_of_ones_own_is_added_with_its_weight_and_its_hyperparameters():
    plain, _, _ = evaluate(method("tabula_rasa"))
    for coefficient, power in ((0.5, 2), (0.25, 4)):
        total, report, gradient = evaluate(without_teacher(squares_coefficient=coefficient, squares_power=power))
        by_hand = mean((Q**power).sum(-1))
        np.testing.assert_allclose(total - plain, LAMBDA * coefficient * by_hand, rtol=1e-4)
        np.testing.assert_allclose(report["squares_loss"], by_hand, rtol=1e-5)  # as it is, not multiplied by its weight
        assert np.isfinite(gradient).all()


@losses.term(
    weight=lambda context, hyperparameters: hyperparameters.broken_coefficient,
    broken_coefficient=hyperparameter(0.0, "of NaN"),
)
def broken(context, hyperparameters):
    return jnp.sqrt(-1.0 - context.online.q_values[:, 0] ** 2)  # NaN, and so is its gradient


def test_a_term_that_is_nan_at_weight_0_changes_nothing_forwards_or_backwards():
    cls = losses.with_term(QDagger, broken)
    clean, dirty = evaluate(QDagger()), evaluate(cls())
    np.testing.assert_array_equal(clean[0], dirty[0])
    np.testing.assert_array_equal(clean[2], dirty[2])
    assert dirty[1].pop("broken_loss") == 0.0
    chex.assert_trees_all_equal(clean[1], dirty[1])
    total, _, gradient = evaluate(cls(broken_coefficient=0.1))  # and where it is used it is not hidden
    assert np.isnan(total) and np.isnan(gradient).any()


def test_a_name_that_is_taken_is_refused():
    for name in ("td", "distillation", "cql"):
        with pytest.raises(ValueError, match=f"QDagger has a term '{name}' already; take another name"):
            losses.with_term(QDagger, losses.Term(name, squares.loss))
    with pytest.raises(ValueError, match="QDagger has a hyperparameter 'margin' already; take another name"):
        losses.with_term(
            QDagger, losses.Term("mine", squares.loss, hyperparameters={"margin": hyperparameter(0.0, "mine")})
        )
    with pytest.raises(ValueError, match="QDaggerWithSquares has a term 'squares' already"):
        losses.with_term(WithSquares, squares)


def test_terms_add_up():
    both = losses.with_term(WithSquares, broken)
    assert [term.name for term in both.terms] == ["distillation", "margin", "cql", "squares", "broken"]
    assert both().squares_coefficient == 0.5 and both().broken_coefficient == 0.0
    assert QDagger.terms == losses.REINCARNATION  # the class that was extended is as it was


def test_a_term_is_found_by_module_and_name(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "terms_of_a_user.py").write_text(
        "from purejaxrrl.students.losses import term\n"
        "@term()\n"
        "def greatest(context, hyperparameters):\n"
        "    return context.online.q_values.max(-1)\n"
        "def undecorated(context, hyperparameters):\n"
        "    return 0.0\n"
    )
    found = losses.load_term("terms_of_a_user:greatest")
    assert isinstance(found, losses.Term) and found.name == "greatest"
    _, report, _ = evaluate(losses.with_term(QDagger, found)())
    np.testing.assert_allclose(report["greatest_loss"], mean(Q.max(-1)), rtol=1e-5)
    for place, message in {
        "terms_of_a_user:undecorated": "terms_of_a_user:undecorated is a function; decorate a function with",
        "terms_of_a_user:missing": "the term 'terms_of_a_user:missing' cannot be imported .*has no attribute 'missing'",
        "no_such_module:greatest": "the term 'no_such_module:greatest' cannot be imported .*in the working folder, too",
        "greatest": "the term is 'greatest'; give it as module:name",
        ":greatest": "the term is ':greatest'; give it as module:name",
        "terms_of_a_user:": "the term is 'terms_of_a_user:'; give it as module:name",
    }.items():
        with pytest.raises(ValueError, match=message):
            losses.load_term(place)


def test_a_term_is_found_in_the_working_folder(tmp_path, monkeypatch):
    """As a program's in another folder, which is where Python looks by itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(losses.sys, "path", [place for place in losses.sys.path if place])
    (tmp_path / "terms_in_the_working_folder.py").write_text(
        "from purejaxrrl.students.losses import term\n@term()\ndef none(context, hyperparameters):\n    return 0.0\n"
    )
    assert losses.load_term("terms_in_the_working_folder:none").name == "none"


def test_a_changed_weight_is_another_term():
    def loss(context, hyperparameters):
        return 0.0

    def once(context, hyperparameters):
        return 1.0

    def twice(context, hyperparameters):
        return 2.0

    found = [losses.Term("mine", loss, *weight).identity() for weight in ((), (once,), (twice,))]
    assert len(set(found)) == 3


def test_changed_code_is_another_term(tmp_path, monkeypatch):
    """By what results and runs compare."""
    monkeypatch.syspath_prepend(tmp_path)
    source = (
        "from purejaxrrl.students.losses import term\n@term()\ndef mine(context, hyperparameters):\n    return {}\n"
    )
    identities = []
    for module, value in (("first_term", 0.0), ("second_term", 1.0)):
        (tmp_path / f"{module}.py").write_text(source.format(value))
        identities.append(losses.load_term(f"{module}:mine").identity())
    assert identities[0].split()[0] == "first_term:mine"
    assert identities[0].split()[1] != identities[1].split()[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rehearsal_fraction": 1.5}, "rehearsal_fraction is 1.5; it must be less than or equal to 1"),
        ({"cql_temperature": 0.0}, "cql_temperature is 0.0; it must be greater than 0"),
        ({"margin_coefficient": -1.0}, "margin_coefficient is -1.0; it must be greater than or equal to 0"),
        ({"guide_probability": float("nan")}, "guide_probability is nan; it must be a finite number"),
    ],
)
def test_coefficients_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(QDagger(), **change)
