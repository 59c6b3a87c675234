"""The axis "regulariser": terms on alpha's loss. FairDARTS's is with its relaxation, sigmoid."""
