"""A trained recurrent network in use: evaluate, predict --prompt and export-network on text."""

import json
import math

import pytest
import torch
from engine_kit import Engine, newest_state, state_of
from text_kit import CELL, WORDS, make_text_run, make_text_search, text

from darts_engine.data.text import corpus as corpora
from darts_engine.programs import evaluate, evaluate_text, export_network, predict_text
from darts_engine.run.errors import DataError
from darts_engine.run.settings import config as configs
from darts_engine.training import hub, text_trained

# Loading TorchScript warns that it has a successor.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished training, the last epochs of which had averaged weights."""
    folder = make_text_run(tmp_path_factory.mktemp("texts"), "texted", train__epochs=5)
    assert Engine(folder).wait() == 0
    assert newest_state(folder)["averaged_steps"]
    return folder


@pytest.fixture(scope="module")
def network(run):
    return text_trained.of_run(run, "last", run.read_config())


def in_columns(run, count, **more):
    changes = {"text.eval_batch": count} | {k.replace("__", "."): v for k, v in more.items()}
    return configs.override(run.read_config(), changes)


# evaluate -----------------------------------------------------------------------------------------


def test_the_validation_part_gives_again_what_the_last_epoch_validated(run):
    found = evaluate_text.training(
        in_columns(run, 2), run, None, "last", part="valid", official=False
    )
    last = state_of(run).epochs[-1]
    assert (found.loss, found.perplexity) == (last.valid_loss, last.valid_perplexity)
    assert found.epoch == 5


def test_the_test_part_is_read_from_its_beginning_to_its_end(run, network, darts):
    result = darts("evaluate", run.path, "--checkpoint", "last", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    ids = corpora.read(run.read_config().data, run.read_config().text).test
    with torch.no_grad():
        log_probabilities, _ = network.network(ids[:-1, None], network.network.first_hidden(1))
    loss = -log_probabilities[:, 0].gather(1, ids[1:, None]).mean().item()
    assert found["loss"] == pytest.approx(loss, abs=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]), abs=1e-3)
    assert (found["part"], found["tokens"]) == ("test", len(ids) - 1)
    official = json.loads(
        darts("evaluate", run.path, "--checkpoint", "last", "--official-division", "--json").out
    )
    share = (len(ids) - 1) / len(ids)
    assert official["loss"] == pytest.approx(found["loss"] * share, abs=2e-6)
    assert official["is_official_division"]
    said = darts("evaluate", run.path, "--part", "valid").out
    assert "valid part of text:" in said
    assert "perplexity" in said


def test_another_text_is_read_in_the_networks_words(run, tmp_path):
    # The same words first appear in another order.
    (tmp_path / "other.txt").write_text("mat a on\n" + text(40, 9))
    own = corpora.read(run.read_config().data, run.read_config().text)
    config = in_columns(run, 1, data__dataset=f"text:{tmp_path / 'other.txt'}")
    other = corpora.read(config.data, config.text)
    assert other.tokens.words != own.tokens.words
    columns = evaluate_text.in_words_of(own.tokens, other, "test", 1)
    assert own.tokens.text(columns[:, 0]) == other.tokens.text(other.test)
    (tmp_path / "strange.txt").write_text(text(40, 9) + "zebra\n" * 40)
    config = in_columns(run, 1, data__dataset=f"text:{tmp_path / 'strange.txt'}")
    with pytest.raises(DataError, match="does not know 'zebra'"):
        evaluate_text.training(config, run, None, "last", part="test", official=False)


def test_a_word_is_known_if_the_network_knows_it_wherever_it_is_in_the_other_text(run, tmp_path):
    lines = text(40, 9)
    where = tmp_path / "other"
    where.mkdir()
    # Of its words, train has but two, and a limit would leave fewer.
    (where / "train.txt").write_text("the cat\n" * 20)
    for part in ("valid", "test"):
        (where / f"{part}.txt").write_text(lines)
    config = in_columns(run, 1, data__dataset=f"text:{where}", text__vocabulary=3)
    found = evaluate_text.training(config, run, None, "last", part="test", official=False)
    (tmp_path / "same.txt").write_text(lines * 10)
    whole = in_columns(run, 1, data__dataset=f"text:{tmp_path / 'same.txt'}")
    same = evaluate_text.training(whole, run, None, "last", part="valid", official=False)
    assert (found.loss, found.tokens) == (same.loss, same.tokens)


def test_a_searchs_supernet_is_evaluated_as_its_last_epoch_validated(tmp_path, darts):
    folder = make_text_search(tmp_path, "searched", search__epochs=1)
    assert Engine(folder).wait() == 0
    # In the columns of its own validation.
    found = json.loads(darts("evaluate", folder.path, "--part", "valid", "--json").out)
    assert found["loss"] == state_of(folder).epochs[-1].valid_loss
    refused = darts("predict", folder.path, "--prompt", "the cat")
    assert (refused.code, refused.error_lines[0][:20]) == (2, "this run is a search")


def test_weights_in_the_official_layout_are_evaluated_alike(run, darts, tmp_path):
    result = darts("export-network", run.path, "--format", "state-dict", "--out", tmp_path)
    assert result.code == 0, result.err
    file = tmp_path / "texted-state.pt"
    assert set(torch.load(file, weights_only=True)) == {
        "encoder.weight", "decoder.weight", "decoder.bias", "rnns.0._W0",
        "rnns.0._Ws.0", "rnns.0._Ws.1", "rnns.0._Ws.2",
    }  # fmt: skip
    own = json.loads(darts("evaluate", run.path, "--json").out)
    elsewhere = darts(
        *("evaluate", "--weights", file, "--genotype", CELL, "--width", 6, "--bptt", 8),
        *("--dataset", run.read_config().data.dataset, "--device", "cpu", "--json"),
    )
    assert elsewhere.code == 0, elsewhere.err
    found = json.loads(elsewhere.out)
    assert found["loss"] == own["loss"]
    assert (found["source"], found["epoch"]) == (str(file), None)
    refused = darts("evaluate", run.path, "--weights", file, "--width", 7)
    assert (refused.code, "the run has its network" in refused.err) == (2, True)


def test_what_is_of_the_other_kind_is_refused(run, darts):
    for option in (("--format", "png"), ("--out", "here")):
        refused = darts("evaluate", run.path, *option)
        assert refused.code == 2
        assert "confusion matrix" in refused.err
    assert "there is no part 'tests'" in darts("evaluate", run.path, "--part", "tests").err
    refused = darts("predict", run.path, "cat.jpg")
    assert (refused.code, len(refused.error_lines)) == (2, 3)
    assert "reads text" in refused.err


# predict ------------------------------------------------------------------------------------------


def test_a_prompt_is_continued_by_the_likeliest_words(network):
    found = predict_text.continued(network, "the cat", length=5, temperature=0, seed=0)
    ids = network.tokens.ids("the cat").tolist()
    for _ in range(5):
        with torch.no_grad():
            shares, _ = network.network(torch.tensor(ids)[:, None], network.network.first_hidden(1))
        ids.append(int(shares[-1, 0].argmax()))
    assert found.text == network.tokens.text(ids[2:])
    assert (found.prompt, found.unknown, found.is_of_characters) == ("the cat", [], False)


def test_a_seed_draws_the_same_words_again_and_another_one_others(run, darts):
    asked = ("predict", run.path, "--prompt", "the cat", "--length", 30, "--json")
    first, again = (json.loads(darts(*asked, "--seed", 3).out) for _ in range(2))
    other = json.loads(darts(*asked, "--seed", 4).out)
    assert first == again
    assert first["continuation"] != other["continuation"]
    words = first["continuation"].split()
    assert set(words) <= set(WORDS)
    assert len(words) + first["continuation"].count("\n") == 30
    printed = darts("predict", run.path, "--prompt", "the cat", "--length", 30, "--seed", 3).out
    assert printed == f"the cat {first['continuation']}\n"
    assert darts("predict", run.path, "--prompt", "", "--length", 3).code == 0


def test_a_word_that_the_network_does_not_know_is_named(run, network, darts):
    for prompt, named in (("the zebra sat", "'zebra'"), ("the \x1b[31mzebra", "'\\x1b'")):
        refused = darts("predict", run.path, "--prompt", prompt)
        assert (refused.code, len(refused.error_lines)) == (4, 3)
        assert f"{named} is not in the vocabulary" in refused.err
    with_unknown = text_trained.TrainedText(
        network.config, network.network, type(network.tokens)([*WORDS[:-1], "<unk>"]),
        network.source, None, network.device,
    )  # fmt: skip
    found = predict_text.continued(with_unknown, "the zebra", length=1, temperature=1, seed=0)
    assert (found.prompt, found.unknown) == ("the <unk>", ["zebra"])


def test_a_long_prompt_is_read_in_parts(network, monkeypatch):
    prompt, seen = "the cat sat on a mat " * 3, []
    whole = predict_text.continued(network, prompt, length=20, temperature=1, seed=0)
    monkeypatch.setattr(predict_text, "AT_ONCE", 5)
    read = text_trained.TrainedText.read
    monkeypatch.setattr(
        text_trained.TrainedText, "read", lambda *a: seen.append(len(a[1])) or read(*a)
    )
    assert predict_text.continued(network, prompt, length=20, temperature=1, seed=0) == whole
    assert seen == [5, 5, 5, 3] + [1] * 19


def test_a_temperature_near_zero_takes_the_likeliest_words(network):
    texts = {
        predict_text.continued(network, "the cat", length=20, temperature=t, seed=0).text
        for t in (0, 5e-324, 1e-46, 1e-40, 1e-9)
    }
    assert len(texts) == 1


# export-network -----------------------------------------------------------------------------------


def test_programs_of_one_token_agree_with_the_network_token_by_token(network, tmp_path):
    names = export_network.export(network, ["torchscript", "torch-export"], tmp_path, "t")
    assert names == ["t.torchscript.pt", "t.pt2"]
    extra = {export_network.METADATA: ""}
    programs = [
        torch.jit.load(tmp_path / names[0], _extra_files=extra),
        torch.export.load(tmp_path / names[1]).module(),
    ]
    about = json.loads(extra[export_network.METADATA])
    assert about["tokens"] == network.tokens.words
    assert about["input"]["hidden"]["shape"] == ["batch", 6]
    tokens = torch.tensor([[0, 1, 2, 3], [3, 3, 1, 0], [6, 5, 4, 2]])
    with torch.no_grad():
        expected, last = network.network(tokens, network.network.first_hidden(4))
        for program in programs:
            hidden = network.network.first_hidden(4)
            for row, wanted in zip(tokens, expected, strict=True):
                found, hidden = program(row, hidden)
                assert torch.allclose(found, wanted, atol=1e-5)
            assert torch.allclose(hidden, last, atol=1e-5)


def test_the_program_dispatches_on_what_the_network_reads(run, capfdbinary, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(configs.to_toml(in_columns(run, 2)))
    code = evaluate.main([str(config), "--run", str(run.path), "--part", "train"])
    assert code == 0
    assert json.loads(capfdbinary.readouterr().out)["part"] == "train"


def test_a_folder_of_the_hub_gives_the_same_bits_and_ties_its_matrix(run, network, darts, tmp_path):
    result = darts(
        "export-network", run.path, "--checkpoint", "last", "--format", "hub", "--out", tmp_path
    )
    assert result.code == 0, result.err
    again = hub.load(tmp_path / "texted-hub")
    assert isinstance(again, text_trained.TrainedText)
    assert again.tokens == network.tokens
    tokens = torch.randint(len(network.tokens), (7, 3), generator=torch.Generator().manual_seed(1))
    hidden = network.network.first_hidden(3)
    for mine, theirs in zip(network.read(tokens, hidden), again.read(tokens, hidden), strict=True):
        assert torch.equal(mine, theirs)
    size = (tmp_path / "texted-hub" / "model.safetensors").stat().st_size
    stored = sum(p.numel() for p in network.network.parameters()) * 4
    about = (tmp_path / "texted-hub" / "config.json").stat().st_size
    assert size < stored + 2 * about
    text = (tmp_path / "texted-hub" / "README.md").read_text()
    assert "pipeline_tag: text-generation\n" in text
    assert "| perplexity |" in text
    assert "![" in text
