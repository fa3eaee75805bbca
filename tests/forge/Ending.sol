// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Recipient} from "../../contracts/test/Recipient.sol";
import {Federation} from "./Federation.sol";
import {Check} from "./Vm.sol";

/// @title The end of a game: everything settles, everybody leaves, and only the pool and dust stay
abstract contract Ending is Federation {
    uint256 public calls;

    /// @notice 2, 17, 18, 23, 28: the pool returns late at the latest, every model settles, every exit works, and only the
    /// pool and dust stay.
    function drain() external {
        if (address(fed) == address(0)) return;
        clock();
        checkAll();
        moody.behave(Recipient.Manner.Accept);
        ghost.refuse(address(moody), false);
        if (calls % 2 == 0 && terms.sunset != 0) returnPool();
        settleUpTo(fed.modelCount());
        forfeitAll();
        claimAll();
        leaveAll();
        IPDFed.Ledger memory books = fed.ledger();
        Check.equal(books.stakes, 0, "18: a stake stays");
        Check.equal(books.credits, 0, "2: a credit stays");
        uint256 votes = uint256(fed.modelCount()) * actors.length;
        Check.that(books.lockedFees <= votes, "2: more than dust of the fees stays");
        Check.that(books.lockedRoyalties <= votes * (1 + calls), "2: more than dust of the royalties stays");
        checkAll();
    }

    /// @dev 28: once the latest return has come, nothing that anyone submits holds it up.
    function returnPool() private {
        uint256 windows = uint256(terms.commitWindow) + terms.revealWindow;
        uint256 since = 0;
        while (since != aliveAt) {
            since = aliveAt;
            uint256 latest = since + terms.sunset + windows;
            if (time < latest) wait(latest - time);
            for (uint32 id = fed.nextToSettle(); id <= fed.modelCount(); ++id) {
                if (fed.model(id).submittedAt >= since + terms.sunset) break;
                must(SPONSOR, abi.encodeCall(IPDFed.settle, (id)));
                if (aliveAt != since) break;
            }
        }
        for (uint256 i = 0; i < actors.length; ++i) {
            act(actors[i], terms.submissionFee, abi.encodeCall(IPDFed.submit, ("junk", new uint32[](1))));
        }
        bool holds = fed.pool() != 0;
        Check.that(act(actors[0], abi.encodeCall(IPDFed.reclaim, ())) == holds, "28: something holds the pool up");
    }

    function forfeitAll() private {
        for (uint32 id = 1; id <= fed.modelCount(); ++id) {
            for (uint256 i = 0; i < actors.length; ++i) {
                if (fed.ballot(id, actors[i]).state != IPDFed.BallotState.Committed) continue;
                must(SPONSOR, abi.encodeCall(IPDFed.forfeit, (id, actors[i])));
            }
        }
    }

    function claimAll() private {
        uint32[] memory ids = new uint32[](1);
        for (ids[0] = 1; ids[0] <= fed.modelCount(); ++ids[0]) {
            if (ghost.isChampion(ids[0])) must(SPONSOR, abi.encodeCall(IPDFed.claimRoyalties, (ids)));
            for (uint256 i = 0; i < actors.length; ++i) {
                bool revealed = fed.ballot(ids[0], actors[i]).state == IPDFed.BallotState.Revealed;
                if (revealed) act(SPONSOR, abi.encodeCall(IPDFed.claimFees, (actors[i], ids)));
            }
        }
    }

    function leaveAll() private {
        for (uint256 i = 0; i < actors.length; ++i) {
            IPDFed.Node memory node = fed.node(actors[i]);
            if (node.role != IPDFed.Role.None && node.exitAt == 0) must(actors[i], abi.encodeCall(IPDFed.requestExit, (actors[i])));
        }
        wait(terms.unbonding);
        for (uint256 i = 0; i < actors.length; ++i) {
            bool stays = fed.node(actors[i]).role != IPDFed.Role.None;
            if (stays) must(fed.payee(actors[i]), abi.encodeCall(IPDFed.claimStake, (actors[i])));
            withdrawAll(actors[i]);
        }
        withdrawAll(SPONSOR);
    }

    function withdrawAll(address account) private {
        if (fed.credit(account) != 0) must(fed.payee(account), abi.encodeCall(IPDFed.withdraw, (account, account)));
    }

    function settleUpTo(uint32 id) internal {
        for (uint32 next = fed.nextToSettle(); next <= id; ++next) {
            wait(dueIn(next));
            must(SPONSOR, abi.encodeCall(IPDFed.settle, (next)));
        }
    }

    /// @dev Seconds until a model can be settled.
    function dueIn(uint32 id) private view returns (uint256) {
        IPDFed.Model memory seen = fed.model(id);
        if (seen.phase >= IPDFed.Phase.Due) return 0;
        uint256 deadline = uint256(seen.submittedAt) + terms.commitWindow + terms.revealWindow;
        bool waits = seen.phase == IPDFed.Phase.Revealing || seen.committedWeight != 0;
        return (waits ? deadline : seen.revealsOpenAt) - time;
    }
}
