"""Build the network that a config names: the genotype's, or a wide ResNet."""

from darts_engine.layers.language_model import Dropouts
from darts_engine.networks.derived import Network
from darts_engine.networks.nasbench101 import Network101
from darts_engine.networks.nasbench201 import Network201
from darts_engine.networks.recurrent import RecurrentNetwork
from darts_engine.networks.wide_resnet import WideResNet
from darts_engine.run.architecture import genotype as genotypes
from darts_engine.run.architecture import networks
from darts_engine.run.architecture.text import parse
from darts_engine.run.errors import GenotypeError
from darts_engine.run.settings.config import NetworkSection, TextSection, TrainConfig

# All take images (B, C, H, W) to logits and, in training, an auxiliary head's logits or None.
TrainedNetwork = Network | Network101 | Network201 | WideResNet


def build(section: NetworkSection, *, in_channels: int, classes: int, seed: int) -> TrainedNetwork:
    """A fresh network on the CPU.

    Args:
        section: the table `[network]` of the config; its genotype is text.
        in_channels: channels of the images.
        classes: outputs.
        seed: names the stream that weights are drawn from.

    Raises:
        GenotypeError: the genotype cannot be read or built.
        ConfigError: there is no such network.
    """
    shape = networks.parse(section.network)
    if shape is not None:
        return WideResNet(
            shape,
            in_channels=in_channels,
            classes=classes,
            dropout=section.dropout,
            init=section.init,
            seed=seed,
        )
    genotype = parse(section.genotype)
    shared = {
        "channels": section.channels,
        "layers": section.layers,
        "in_channels": in_channels,
        "classes": classes,
        "seed": seed,
    }
    if genotype.form != genotypes.DARTS and section.stem != "cifar":
        raise GenotypeError(
            f"networks of {genotype.form} have no other stem", remedy="leave out --stem"
        )
    if genotype.form == genotypes.NASBENCH201:
        return Network201(genotype, **shared)
    if genotype.form == genotypes.NASBENCH101:
        return Network101(genotype, **shared)
    return Network(genotype, stem=section.stem, auxiliary=section.auxiliary, **shared)


def build_recurrent(config: TrainConfig, vocabulary: int) -> RecurrentNetwork:
    """A fresh recurrent network on the CPU.

    Args:
        config: its genotype is text.
        vocabulary: V, tokens that it reads and predicts.

    Raises:
        GenotypeError: the genotype cannot be read or built.
    """
    return RecurrentNetwork(
        parse(config.network.genotype),
        vocabulary,
        config.text.width,
        dropouts=dropouts_of(config.text),
        seed=config.engine.seed,
    )


def dropouts_of(text: TextSection) -> Dropouts:
    """The five dropouts of a config."""
    return Dropouts(
        word=text.word_dropout,
        embedding=text.embedding_dropout,
        input=text.input_dropout,
        hidden=text.hidden_dropout,
        output=text.output_dropout,
    )
