// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Federation} from "./Federation.sol";
import {GhostMath} from "./GhostMath.sol";

/// @title Journeys of tests: join, submit, vote, settle
abstract contract Journeys is Federation {
    /// Heard models that retire a silent node.
    uint256 internal constant HEARD = 8;

    function join(uint256 actor, uint256 stake) internal {
        must(actors[actor], stake, abi.encodeCall(IPDFed.register, (IPDFed.Role.Trainer)));
    }

    /// @dev The first `count` people join with the least stake each, and a second passes.
    function joinAll(uint256 count) internal {
        for (uint256 i = 0; i < count; ++i) {
            join(i, terms.minStake);
        }
        wait(1);
    }

    function submit(uint256 author) internal returns (uint32 id) {
        id = fed.modelCount() + 1;
        must(actors[author], terms.submissionFee, abi.encodeCall(IPDFed.submit, (keccak256(abi.encode(id)), new uint32[](1))));
    }

    /// @dev A score in the middle of a bucket: `steps` of 1/64 halving, -64..63.
    function scoreOf(int256 steps) internal pure returns (IPDFed.Score memory) {
        uint256 bucket = uint256(steps + 64);
        uint256 low = bucket == 0 ? 1 : GhostMath.baselineFor(QN, bucket);
        return IPDFed.Score(QN, uint64(low + QN / 1000), 0);
    }

    function commit(uint256 voter, uint32 id, int256 steps) internal {
        IPDFed.Score memory score = scoreOf(steps);
        bytes32 salt = keccak256(abi.encode(id, voter));
        bytes32 commitment = fed.voteCommitment(id, actors[voter], score, salt);
        must(actors[voter], commitCall(id, commitment));
        secrets[id][actors[voter]] = Secret(score, salt);
    }

    /// @dev Any commitment to the model that is meant.
    function commitCall(uint32 id, bytes32 commitment) internal view returns (bytes memory) {
        IPDFed.Model memory seen = fed.model(id);
        return abi.encodeCall(IPDFed.commitVote, (id, seen.bundle, seen.baseline, commitment, ~commitment));
    }

    function reveal(uint256 voter, uint32 id) internal {
        must(actors[voter], revealCall(id, actors[voter]));
    }

    function revealCall(uint32 id, address voter) internal view returns (bytes memory) {
        Secret memory secret = secrets[id][voter];
        return abi.encodeCall(IPDFed.revealVote, (id, voter, secret.score, secret.salt));
    }

    /// @dev Submits a model of the author, on which all other members vote the same, and settles it.
    function advance(uint256 author, int256 steps) internal returns (uint32 id) {
        id = submit(author);
        for (uint256 i = 0; i < actors.length; ++i) {
            if (i != author && fed.node(actors[i]).stake != 0) commit(i, id, steps);
        }
        for (uint256 i = 0; i < actors.length; ++i) {
            if (i != author && fed.node(actors[i]).stake != 0) reveal(i, id);
        }
        settle(id);
    }

    /// @dev As many heard models as retire a node, of the first member that is not silent; all others vote.
    function heardWithout(uint256 silent) internal {
        uint256 author = silent == 0 ? 1 : 0;
        for (uint256 round = 0; round < HEARD; ++round) {
            uint32 id = submit(author);
            wait(terms.jury == 0 ? 1 : 60);
            for (uint256 i = 0; i < actors.length; ++i) {
                if (i == author || i == silent || fed.node(actors[i]).stake == 0) continue;
                bytes32 commitment = fed.voteCommitment(id, actors[i], scoreOf(0), "salt");
                if (act(actors[i], commitCall(id, commitment))) secrets[id][actors[i]] = Secret(scoreOf(0), "salt");
            }
            wait(terms.commitWindow);
            for (uint256 i = 0; i < actors.length; ++i) {
                if (fed.ballot(id, actors[i]).weight != 0) reveal(i, id);
            }
            settle(id);
        }
        wait(terms.unbonding);
    }

    function settle(uint32 id) internal {
        must(SPONSOR, abi.encodeCall(IPDFed.settle, (id)));
        checkVotes(id);
    }

    function ids(uint32 id) internal pure returns (uint32[] memory list) {
        list = new uint32[](1);
        list[0] = id;
    }
}
