// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Journeys} from "./Journeys.sol";
import {Check} from "./Vm.sol";

/// @title Retiring silent nodes, and only those
contract NodesTest is Journeys {
    function usualStart() private {
        IPDFed.Terms memory t = usualTerms();
        t.unbonding = 150;
        start(t, 1e18);
        joinAll(4);
    }

    /// @dev Models that two of the three voters score, `count` of them; the silent one is actor 3.
    function heardModels(uint256 count) private {
        for (uint256 i = 0; i < count; ++i) {
            uint32 id = submit(0);
            wait(1);
            commit(1, id, 0);
            commit(2, id, 0);
            wait(100);
            reveal(1, id);
            reveal(2, id);
            settle(id);
        }
    }

    function retire() private view returns (bytes memory) {
        return abi.encodeCall(IPDFed.retire, (actors[3]));
    }

    function stillActive(uint256 activeAt, uint256 heardSince) private view returns (bytes memory) {
        return abi.encodeWithSelector(
            IPDFed.StillActive.selector, actors[3], activeAt, heardSince, activeAt + terms.unbonding
        );
    }

    function test_silent_through_eight_heard_models() external {
        usualStart();
        uint256 joined = time - 1;
        heardModels(HEARD - 1);
        refused(actors[0], 0, retire(), stillActive(joined, joined));
        heardModels(1);
        must(actors[0], retire());
        checkAccount(actors[3]);
        refused(actors[0], 0, retire(), abi.encodeWithSelector(IPDFed.NodeExiting.selector, actors[3], time + 150));
        must(actors[3], abi.encodeCall(IPDFed.cancelExit, ()));
        checkAccount(actors[3]);
    }

    function test_quick_models_evict_nobody() external {
        usualStart();
        heardModels(HEARD);
        must(actors[3], abi.encodeCall(IPDFed.keepAlive, ()));
        uint256 acted = time;
        bytes32 alone = keccak256("a model that one voter scores at once");
        wait(1);
        for (uint256 i = 0; i < HEARD; ++i) {
            uint32 id = fed.modelCount() + 1;
            must(actors[0], terms.submissionFee, abi.encodeCall(IPDFed.submit, (keccak256(abi.encode(alone, i)), new uint32[](1))));
            commit(1, id, 0);
            commit(2, id, 0);
        }
        wait(100);
        for (uint32 id = uint32(HEARD) + 1; id <= 2 * HEARD; ++id) {
            reveal(1, id);
            reveal(2, id);
            settle(id);
        }
        refused(actors[0], 0, retire(), stillActive(acted, time));
        wait(48);
        refused(actors[0], 0, retire(), stillActive(acted, time - 48));
        wait(1);
        must(actors[0], retire());
    }

    /// @notice A node that acted in the second of the oldest of the heard models was not silent through it.
    function test_acting_in_the_second_of_the_oldest_model() external {
        usualStart();
        heardModels(1);
        must(actors[3], abi.encodeCall(IPDFed.keepAlive, ()));
        uint256 acted = time;
        heardModels(HEARD - 1);
        refused(actors[0], 0, retire(), stillActive(acted, acted));
        heardModels(1);
        must(actors[0], retire());
    }

    function test_junk_is_not_heard() external {
        usualStart();
        heardModels(HEARD - 1);
        uint256 joined = fed.node(actors[3]).joinedAt;
        for (uint256 i = 0; i < 20; ++i) {
            uint32 id = submit(0);
            wait(100);
            settle(id);
        }
        refused(actors[0], 0, retire(), stillActive(joined, joined));
    }

    /// @notice Without eligible voters no model is heard, although a quorum of 0 is met.
    function test_a_model_for_nobody_is_not_heard() external {
        IPDFed.Terms memory t = usualTerms();
        t.unbonding = 150;
        start(t, 0);
        joinAll(1);
        for (uint256 i = 0; i < HEARD; ++i) {
            uint32 id = submit(0);
            wait(100);
            settle(id);
        }
        join(3, 1e18);
        uint256 joined = time;
        wait(200);
        refused(actors[0], 0, retire(), stillActive(joined, fed.model(0).submittedAt));
    }

    /// @notice Half the quorum is enough to be heard: one of three voters, at a quorum of two thirds.
    function test_half_the_quorum_is_heard() external {
        IPDFed.Terms memory t = usualTerms();
        t.unbonding = 150;
        t.quorum = 6666;
        start(t, 0);
        joinAll(4);
        for (uint256 i = 0; i < HEARD; ++i) {
            uint32 id = submit(0);
            wait(1);
            commit(1, id, 5);
            wait(99);
            reveal(1, id);
            settle(id);
            Check.equal(uint256(fed.model(id).phase), uint256(IPDFed.Phase.Unscored), "scored by a third");
        }
        must(actors[0], retire());
    }

    /// @notice Exactly half the quorum is heard, a unit of weight less is not: 200 or 199 of 800 at a quorum of a half.
    function test_exactly_half_the_quorum_is_heard() external {
        for (uint256 less = 0; less < 2; ++less) {
            IPDFed.Terms memory t = usualTerms();
            t.unbonding = 150;
            start(t, 0);
            join(0, 1e18);
            join(1, 2e18 - less * 1e16);
            join(2, 5e18 + less * 1e16);
            join(3, 1e18);
            wait(1);
            uint256 joined = time - 1;
            for (uint256 i = 0; i < HEARD; ++i) {
                uint32 id = submit(0);
                wait(1);
                commit(1, id, 5);
                wait(99);
                reveal(1, id);
                settle(id);
                Check.equal(fed.model(id).eligibleWeight, 800, "eligible");
            }
            if (less == 0) must(actors[0], retire());
            else refused(actors[0], 0, retire(), stillActive(joined, joined));
        }
    }

    /// @notice The electorate is what must be heard, not the few who have joined.
    function test_half_the_quorum_is_of_the_electorate() external {
        IPDFed.Terms memory t = usualTerms();
        (t.unbonding, t.electorate) = (150, 801);
        start(t, 0);
        joinAll(4);
        uint256 joined = time - 1;
        for (uint256 i = 0; i < HEARD; ++i) {
            uint32 id = submit(0);
            wait(1);
            commit(1, id, 5);
            commit(2, id, 5);
            wait(99);
            reveal(1, id);
            reveal(2, id);
            settle(id);
        }
        refused(actors[0], 0, retire(), stillActive(joined, joined));
    }

    function test_every_activity_counts() external {
        usualStart();
        heardModels(HEARD);
        uint256 snapshot = time;
        must(actors[3], 1, abi.encodeCall(IPDFed.topUp, ()));
        refused(actors[0], 0, retire(), stillActive(snapshot, fed.model(1).submittedAt + 101));
        wait(200);
        submit(3);
        refused(actors[0], 0, retire(), stillActive(time, fed.model(1).submittedAt + 101));
        wait(200);
        uint32 id = submit(0);
        wait(1);
        commit(3, id, 0);
        refused(actors[0], 0, retire(), stillActive(time, fed.model(1).submittedAt + 101));
    }
}
