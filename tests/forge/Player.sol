// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Recipient} from "../../contracts/test/Recipient.sol";
import {Ending} from "./Ending.sol";
import {GhostMath} from "./GhostMath.sol";
import {Check, vm} from "./Vm.sol";

/// @title Six actors driven by forge
/// @notice The handler of the invariant tests. Each function is one call that somebody tries; refusals are part of the
/// game, as long as contract and ghost refuse alike. The first call of a game chooses its terms.
contract Player is Ending {
    uint256 private constant LONG = 10_000;

    modifier plays() {
        if (address(fed) == address(0)) begin(uint256(keccak256(msg.data)));
        ++calls;
        _;
    }

    // ----------------------------------------------------------------------------------------------- choosing terms

    function begin(uint256 luck) private {
        IPDFed.Terms memory t = usualTerms();
        t.submissionFee = uint96(pick(luck, 1, [uint256(12e15), 12e15, 0, 1, 7, 12e15 + 1, 3e18, 999]));
        t.commitBond = uint96(pick(luck, 2, [uint256(30e15), 30e15, 0, 1, 333333333333333333, 1e18, 1e18, 999e15]));
        t.quorum = uint16(pick(luck, 3, [uint256(5000), 5000, 5000, 1, 3334, 6667, 10_000, 7]));
        t.release = uint16(pick(luck, 4, [uint256(2500), 2500, 2500, 1, 9999, 1000, 5000, 3333]));
        t.minGain = uint8(pick(luck, 5, [uint256(2), 2, 1, 1, 3, 20, 63, 5]));
        t.jury = uint16(pick(luck, 6, [uint256(0), 0, 0, 0, 1, 2, 3, 60_000]));
        t.royalty = uint16(pick(luck, 7, [uint256(1000), 1000, 0, 5000, 1, 3333, 2000, 100]));
        t.commitWindow = uint32(pick(luck, 8, [uint256(100), 100, 100, 1, 30, 50, 12, 7]));
        if (t.jury != 0 && t.commitWindow <= 60) t.commitWindow += 60;
        uint256 reveals = pick(luck, 9, [uint256(50), 50, 100, 1, 30, 50, 12, 7]);
        t.revealWindow = uint32(GhostMath.larger(reveals, t.commitWindow / 4));
        t.unbonding = t.commitWindow + t.revealWindow + uint32(pick(luck, 10, [uint256(0), 0, 0, 1, 10, 10, 100, 500]));
        t.sunset = uint32(pick(luck, 11, [uint256(0), 500, 500, 5000, 400, 300, 200, 1000]));
        t.electorate = uint32(pick(luck, 14, [uint256(0), 0, 0, 0, 200, 350, 600, 5000]));
        t.enrolment = uint32(pick(luck, 15, [uint256(0), 0, 0, 0, 1, 10, 100, 300]));
        t.pace = uint32(pick(luck, 16, [uint256(0), 0, 64, 65, 1000, 6400, 6401, 1e6]));
        uint256 least = uint256(t.enrolment) + t.commitWindow + t.revealWindow;
        if (t.sunset != 0) t.sunset = uint32(GhostMath.larger(t.sunset, least));
        t.minStake = uint96(pick(luck, 12, [uint256(1e18), 1e18, 1e18, 1e18 + 7, 2e18, 3e18 - 1, 1e18, 1e18]));
        start(t, pick(luck, 13, [uint256(10e18), 10e18, 10e18, 1, 0, 3, 1e27, 1e18 + 1]));
        for (uint256 i = 0; i < 3 + luck % 4; ++i) {
            must(actors[i], t.minStake * (1 + i % 3), abi.encodeCall(IPDFed.register, (roleOf(i))));
        }
        wait(luck % 3 == 0 ? 1 : 1 + t.enrolment);
    }

    function pick(uint256 luck, uint256 salt, uint256[8] memory choices) private pure returns (uint256) {
        return choices[uint256(keccak256(abi.encode(luck, salt))) % 8];
    }

    function roleOf(uint256 actor) private pure returns (IPDFed.Role) {
        return actor < 4 ? IPDFed.Role.Trainer : IPDFed.Role.Validator;
    }

    function person(uint256 number) private view returns (address) {
        return actors[number % actors.length];
    }

    /// @dev The actor, or another one.
    function mostly(uint256 actor, uint256 other) private view returns (address) {
        return person(other % 2 == 0 ? actor : other / 2);
    }

    /// @dev A model: the newest ones more often, one past the last now and then.
    function some(uint256 number) private view returns (uint32) {
        uint256 count = fed.modelCount();
        if (number % 20 == 19) return uint32(count + 1);
        uint256 back = number % 3 == 0 ? number / 3 % (count + 1) : number / 3 % GhostMath.smaller(4, count + 1);
        return uint32(count - back);
    }

    // ------------------------------------------------------------------------------------------------------- nodes

    function register(uint256 actor, uint256 role, uint256 stake) external plays {
        uint256 least = terms.minStake;
        uint256[6] memory stakes = [least - 1, least, least, least + least / 150, 3 * least, 2 * least + 1];
        act(person(actor), stakes[stake % 6], abi.encodeCall(IPDFed.register, (IPDFed.Role(role % 3))));
        checkAccount(person(actor));
    }

    function topUp(uint256 actor, uint256 amount) external plays {
        uint256 least = terms.minStake;
        uint256[4] memory amounts = [uint256(0), 1, least / 200, least];
        act(person(actor), amounts[amount % 4], abi.encodeCall(IPDFed.topUp, ()));
        checkAccount(person(actor));
    }

    function requestExit(uint256 actor, uint256 other) external plays {
        address account = mostly(actor, other);
        act(person(actor), abi.encodeCall(IPDFed.requestExit, (account)));
        checkAccount(account);
    }

    function cancelExit(uint256 actor) external plays {
        act(person(actor), abi.encodeCall(IPDFed.cancelExit, ()));
        checkAccount(person(actor));
    }

    function claimStake(uint256 actor, uint256 other) external plays {
        address account = mostly(actor, other);
        act(person(actor), abi.encodeCall(IPDFed.claimStake, (account)));
        checkAccount(account);
    }

    function keepAlive(uint256 actor) external plays {
        act(person(actor), abi.encodeCall(IPDFed.keepAlive, ()));
    }

    function retire(uint256 actor, uint256 other) external plays {
        act(person(actor), abi.encodeCall(IPDFed.retire, (person(other))));
        checkAccount(person(other));
    }

    // ------------------------------------------------------------------------------------------------------ models

    function submit(uint256 actor, uint256 bundle, uint256 parents, bool wrongFee) external plays {
        uint32[] memory ids = new uint32[](parents % 11);
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = i == 0 ? some(parents / 11) : uint32(uint256(keccak256(abi.encode(parents, i))) % (fed.modelCount() + 2));
        }
        uint256 value = terms.submissionFee + (wrongFee ? 1 : 0);
        act(person(actor), value, abi.encodeCall(IPDFed.submit, (bytes32(bundle % 8 + 1), ids)));
        checkModel(fed.modelCount());
    }

    function commit(uint256 actor, uint256 number, uint256 gain, uint256 copied) external plays {
        uint32 id = some(number);
        commitAs(person(actor), id, scoreOf(gain, copied), keccak256(abi.encode(actor, number, gain)));
    }

    /// @dev 33: a commit that means another bundle, or another baseline, is never accepted.
    function commitToAnother(uint256 actor, uint256 number, bytes32 bundle, uint32 baseline) external plays {
        uint32 id = some(number);
        IPDFed.Model memory seen = id <= fed.modelCount() ? fed.model(id) : fed.model(0);
        if (number % 2 == 0) bundle = seen.bundle;
        if (number % 4 == 0 && baseline == seen.baseline) baseline += 1;
        if (number % 2 == 1) baseline = seen.baseline;
        bytes memory call = abi.encodeCall(IPDFed.commitVote, (id, bundle, baseline, bundle, bundle));
        if (bundle == seen.bundle && baseline == seen.baseline) return;
        Check.that(!act(person(actor), call), "33: a commit to another model was accepted");
    }

    function drawJury(uint256 actor, uint256 number) external plays {
        act(person(actor), abi.encodeCall(IPDFed.drawJury, (some(number))));
    }

    function reveal(uint256 actor, uint256 number, uint256 other) external plays {
        revealAs(mostly(actor, other), some(number), person(actor));
    }

    /// @dev 9: another's vote, or a changed one, is never accepted, whoever brings it.
    function revealForged(uint256 actor, uint256 other, uint256 number, uint256 change) external plays {
        uint32 id = some(number);
        address voter = person(change / 4);
        Secret memory secret = secrets[id][person(other)];
        if (change % 4 == 0) secret.score.qn ^= 1;
        if (change % 4 == 1) secret.score.memorized ^= 1;
        if (change % 4 == 2) secret.salt ^= bytes32(uint256(1));
        if (change % 4 == 3 && voter == person(other)) secret.score.baselineQn ^= 1;
        bytes memory forged = abi.encodeCall(IPDFed.revealVote, (id, voter, secret.score, secret.salt));
        Check.that(!act(person(actor), forged), "9: a forged reveal was accepted");
    }

    /// @dev 20: no balance moves.
    function lateVote(uint256 actor, uint256 number, uint256 gain, uint256 copied) external plays {
        bytes memory before = abi.encode(fed.ledger());
        uint32 id = some(number);
        bytes32 bundle = id > fed.modelCount() || gain % 16 == 15 ? bytes32(gain) : fed.model(id).bundle;
        act(person(actor), abi.encodeCall(IPDFed.lateVote, (id, bundle, scoreOf(gain, copied))));
        Check.equal(abi.encode(fed.ledger()), before, "20: a late vote moved money");
        if (id <= fed.modelCount()) checkModel(id);
    }

    function settle(uint256 actor, uint256 number) external plays {
        uint32 id = number % 2 == 0 ? fed.nextToSettle() : some(number / 2);
        act(person(actor), abi.encodeCall(IPDFed.settle, (id)));
        if (id <= fed.modelCount()) checkModel(id);
    }

    function forfeit(uint256 actor, uint256 number, uint256 voter) external plays {
        act(person(actor), abi.encodeCall(IPDFed.forfeit, (some(number), person(voter))));
        checkAccount(person(voter));
    }

    /// @dev A round of honest nodes, some of whom stay away or never reveal. Six bits of `luck` a voter.
    function playRound(uint256 author, uint256 gain, uint256 luck, bool settles) external plays {
        uint32[] memory parents = new uint32[](1);
        parents[0] = uint32(luck % (fed.modelCount() + 1));
        bytes32 bundle = keccak256(abi.encode(fed.modelCount(), luck));
        bytes memory call = abi.encodeCall(IPDFed.submit, (bundle, parents));
        if (!act(actors[author % 4], terms.submissionFee, call)) return;
        voteOnTheNewest(gain, luck, settles);
    }

    /// @dev Submits a model that everyone scores better.
    function improve(uint256 author, uint256 gain) external plays {
        uint32[] memory parents = new uint32[](1);
        bytes32 bundle = keccak256(abi.encode(fed.modelCount(), "better"));
        bytes memory call = abi.encodeCall(IPDFed.submit, (bundle, parents));
        if (!act(actors[author % 4], terms.submissionFee, call)) return;
        voteOnTheNewest(64 + gain % 66, type(uint256).max, true);
    }

    function voteOnTheNewest(uint256 gain, uint256 luck, bool settles) private {
        uint32 id = fed.modelCount();
        bool everyone = luck >> 200 & 1 == 1; // commits, so that reveals open early
        wait(terms.jury == 0 || luck >> 201 & 7 == 0 ? 1 : 60);
        if (luck >> 204 & 1 == 1) act(SPONSOR, abi.encodeCall(IPDFed.drawJury, (id)));
        for (uint256 i = 0; i < actors.length; ++i) {
            uint256 own = luck >> (6 * i);
            uint256 shift = luck == type(uint256).max ? 0 : own >> 2 & 15;
            if (everyone || own & 1 == 1) commitAs(actors[i], id, scoreOf(gain % 128 + shift, own), bytes32(luck));
        }
        uint256 opens = fed.model(id).revealsOpenAt;
        if (time < opens) wait(opens - time);
        for (uint256 i = actors.length; i > 0; --i) {
            if (luck >> (6 * (i - 1)) & 2 == 2) revealAs(actors[i - 1], id, actors[luck % i]);
        }
        if (settles) settleUpTo(id);
        checkVotes(id);
    }

    // ------------------------------------------------------------------------------------------------------- money

    function claimFees(uint256 actor, uint256 other, uint256 numbers) external plays {
        address account = mostly(actor, other);
        act(person(actor), abi.encodeCall(IPDFed.claimFees, (account, several(numbers))));
        checkAccount(account);
    }

    function claimRoyalties(uint256 actor, uint256 numbers) external plays {
        uint32[] memory ids = several(numbers);
        if (ids.length != 0) ids[0] = fed.champion();
        act(person(actor), abi.encodeCall(IPDFed.claimRoyalties, (ids)));
        for (uint256 i = 0; i < actors.length; ++i) {
            checkAccount(actors[i]);
        }
    }

    /// @dev Any list of ids: the same id twice is a bad id.
    function several(uint256 numbers) private view returns (uint32[] memory ids) {
        ids = new uint32[](numbers % 4);
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = some(numbers >> (8 * i + 2));
        }
    }

    function fund(uint256 actor, uint256 amount) external plays {
        uint256[5] memory amounts = [uint256(0), 1, 1e18, 7, 1e26];
        act(person(actor), amounts[amount % 5], abi.encodeCall(IPDFed.fund, ()));
    }

    function reclaim(uint256 actor) external plays {
        act(person(actor), abi.encodeCall(IPDFed.reclaim, ()));
        checkAccount(SPONSOR);
    }

    function setPayee(uint256 actor, uint256 other, uint256 target) external plays {
        address account = mostly(actor, other);
        address who = target % 4 == 0 ? person(actor) : fed.payee(account);
        address[4] memory targets = [account, person(target / 16), SPONSOR, address(0)];
        act(who, abi.encodeCall(IPDFed.setPayee, (account, targets[target / 4 % 4])));
        checkAccount(account);
    }

    /// @dev 19: a recipient that refuses blocks only itself.
    function withdraw(uint256 actor, uint256 target) external plays {
        address account = target % 8 == 7 ? SPONSOR : person(actor);
        address who = target / 8 % 4 == 0 ? person(target / 32) : fed.payee(account);
        address[4] memory targets = [who, person(target / 4), address(0), address(fed)];
        address to = targets[target % 4];
        uint256 amount = fed.credit(account);
        uint256 before = to.balance;
        bool paid = act(who, abi.encodeCall(IPDFed.withdraw, (account, to)));
        if (paid && to != who) Check.equal(to.balance - before, amount, "paid to another than was named");
        Check.that(!moody.reentered(), "a withdrawal was entered twice");
        checkAccount(account);
    }

    function changeMood(uint256 mood) external plays {
        Recipient.Manner manner = Recipient.Manner(mood % 5);
        moody.behave(manner);
        ghost.refuse(address(moody), manner == Recipient.Manner.Refuse || manner == Recipient.Manner.WasteGas);
    }

    /// @dev ETH forced in belongs to nobody, and changes no figure.
    function force(uint256 amount) external plays {
        amount %= 3;
        vm.deal(address(fed), address(fed).balance + amount);
        ghost.force(amount);
    }

    function batch(uint256 actor, uint256 number) external plays {
        uint32[] memory ids = new uint32[](1);
        ids[0] = fed.nextToSettle();
        bytes[] memory inner = new bytes[](3);
        inner[0] = abi.encodeCall(IPDFed.settle, (ids[0]));
        inner[1] = number % 2 == 0 ? abi.encodeCall(IPDFed.claimFees, (person(actor), ids)) : abi.encodeCall(IPDFed.claimRoyalties, (ids));
        inner[2] = abi.encodeCall(IPDFed.keepAlive, ());
        act(person(actor), abi.encodeWithSignature("multicall(bytes[])", inner));
    }

    function passTime(uint256 secs) external plays {
        uint256 window = terms.commitWindow;
        uint256 step = (uint256(terms.pace) + 63) / 64;
        uint256[11] memory waits = [
            uint256(1),
            2,
            window - 1,
            window,
            terms.revealWindow,
            terms.unbonding,
            terms.sunset,
            LONG,
            60,
            terms.enrolment,
            step
        ];
        wait(waits[secs % 11]);
    }

    // ----------------------------------------------------------------------------------------------- voting, waiting

    function scoreOf(uint256 gain, uint256 copied) private pure returns (IPDFed.Score memory) {
        uint256 bucket = gain % 131;
        if (bucket == 130) return IPDFed.Score(0, QN, 0);
        if (bucket == 129) return IPDFed.Score(QN, type(uint64).max, 0);
        if (bucket == 128) return IPDFed.Score(type(uint64).max, 1, 0);
        uint256 qn = copied % 3 == 0 ? QN : 1 + uint256(keccak256(abi.encode(copied))) % 2 ** (copied % 63 + 1);
        uint256 lowest = bucket == 0 ? 1 : GhostMath.baselineFor(qn, bucket);
        if (copied % 8 == 7 && lowest > 1) lowest -= 1;
        uint256 memorized = copied % 8 == 6 ? 1e6 + copied / 8 % 2 : copied % 1e6;
        return IPDFed.Score(uint64(qn), uint64(lowest), uint32(memorized));
    }

    function commitAs(address who, uint32 id, IPDFed.Score memory score, bytes32 salt) private {
        IPDFed.Model memory seen = fed.model(id <= fed.modelCount() ? id : 0);
        bytes32 commitment = fed.voteCommitment(id, who, score, salt);
        if (act(who, abi.encodeCall(IPDFed.commitVote, (id, seen.bundle, seen.baseline, commitment, ~commitment)))) {
            secrets[id][who] = Secret(score, salt);
            same(abi.encodeCall(IPDFed.ballot, (id, who)));
            checkAccount(who);
            checkModel(id);
        }
    }

    function revealAs(address who, uint32 id, address by) private {
        Secret memory secret = secrets[id][who];
        if (act(by, abi.encodeCall(IPDFed.revealVote, (id, who, secret.score, secret.salt)))) {
            same(abi.encodeCall(IPDFed.ballot, (id, who)));
            checkAccount(who);
            checkModel(id);
        }
    }
}
