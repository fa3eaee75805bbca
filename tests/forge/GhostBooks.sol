// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {GhostMath} from "./GhostMath.sol";

/// @title State of the ghost: plain facts, and every sum computed from them anew
/// @notice No running total, no packed word, no accumulator: it must not repeat the contract's bookkeeping. All views of
/// `IPDFed`. Units are the interface's.
abstract contract GhostBooks is IPDFed {
    struct NodeFacts {
        Role role;
        uint256 stake;
        uint256 joinedAt;
        uint256 activeAt;
        uint256 exitAt;
        bool retired;
    }

    struct BallotFacts {
        bytes32 commitment;
        uint256 weight;
        BallotState state;
        uint256 bucket;
        bool feeClaimed;
    }

    struct ModelFacts {
        address author;
        bytes32 bundle;
        uint32 parent;
        uint32 baseline;
        uint256 submittedAt;
        uint256 opensAt;
        uint256 eligible;
        bool drawn;
        bytes32 seed;
        Phase outcome;
        int256 gain;
        int256 level;
        uint256 payout;
        uint256 advance;
        /// Wei of its fee locked for its voters at settlement, and wei that they have claimed.
        uint256 feesKept;
        uint256 feesTaken;
        /// Number of `shares` that it has no claim on, or has claimed.
        uint256 sharesTaken;
        address[] voters;
    }

    /// An advance: when it was settled, and how many of its steps the pool paid for.
    struct Advance {
        uint256 time;
        uint256 paid;
    }

    /// A payout's royalties: `perStep` is what each step of the frontier before it earns, times 1e18.
    struct Share {
        uint256 amount;
        uint256 perStep;
    }

    uint256 internal constant MAX_BALANCE = type(uint96).max;
    uint256 internal constant MAX_ACTIVE_WEIGHT = 2 ** 31 - 1;
    /// Heard models that a node must have been silent through before it can be retired.
    uint256 internal constant HEARD = 8;

    /// The contract that commitments are bound to.
    address internal immutable REAL;
    /// The part of the pool that a step leaves, in units of 1e-36.
    uint256 public immutable KEEP;
    Terms internal theTerms;
    address[] internal people;
    mapping(address => bool) internal known;
    mapping(address => NodeFacts) internal nodes;
    ModelFacts[] internal models;
    mapping(uint256 => mapping(address => BallotFacts)) internal ballots;
    mapping(address => uint256) internal credits;
    mapping(address => address) internal payees;
    uint256 internal thePool;
    Share[] internal shares;
    uint256 internal royaltiesClaimed;
    uint256[] internal heardTimes;
    uint32 internal theChampion;
    uint32 internal next = 1;
    /// Of all advances; and Unix seconds from which the sunset is counted.
    Advance[] internal advances;
    uint256 internal aliveAt;
    /// Wei that came in by selfdestruct, and recipients that refuse payments; the test sets both.
    uint256 public forced;
    mapping(address => bool) public refuses;

    constructor(address real, Terms memory t) {
        REAL = real;
        KEEP = GhostMath.keepPerStep(t.release);
        theTerms = t;
        models.push();
        models[0].bundle = t.genesis;
        models[0].submittedAt = block.timestamp;
        models[0].opensAt = block.timestamp;
        models[0].outcome = Phase.Scored;
        aliveAt = block.timestamp;
        for (uint256 i = 0; i < HEARD; ++i) {
            heardTimes.push(block.timestamp);
        }
    }

    function force(uint256 amount) external {
        forced += amount;
    }

    function refuse(address to, bool refusing) external {
        refuses[to] = refusing;
    }

    // ------------------------------------------------------------------------------------------------ sums of facts

    function weightOf(uint256 stake) internal view returns (uint256) {
        return stake * 100 / theTerms.minStake;
    }

    function sumOfWeights() internal view returns (uint256 sum) {
        for (uint256 i = 0; i < people.length; ++i) {
            NodeFacts storage facts = nodes[people[i]];
            if (facts.role != Role.None && facts.exitAt == 0) sum += weightOf(facts.stake);
        }
    }

    function openCommitsOf(address account) public view returns (uint256 count) {
        for (uint256 id = 1; id < models.length; ++id) {
            if (ballots[id][account].state == BallotState.Committed) ++count;
        }
    }

    function openBallotsOf(uint256 id) internal view returns (uint256 count) {
        address[] storage voters = models[id].voters;
        for (uint256 i = 0; i < voters.length; ++i) {
            if (ballots[id][voters[i]].state == BallotState.Committed) ++count;
        }
    }

    function committedOf(uint256 id) internal view returns (uint256 sum) {
        address[] storage voters = models[id].voters;
        for (uint256 i = 0; i < voters.length; ++i) {
            sum += ballots[id][voters[i]].weight;
        }
    }

    function revealedOf(uint256 id) public view returns (uint256 sum) {
        address[] storage voters = models[id].voters;
        for (uint256 i = 0; i < voters.length; ++i) {
            BallotFacts storage facts = ballots[id][voters[i]];
            if (facts.state == BallotState.Revealed) sum += facts.weight;
        }
    }

    /// @return the least bucket at or below which half the weight lies: the weighted lower median, where eligible weight that
    /// revealed nothing lies in the lowest bucket.
    function medianBucket(uint256 id, uint256 revealed) internal view returns (uint256) {
        address[] storage voters = models[id].voters;
        uint256 total = GhostMath.larger(models[id].eligible, revealed);
        for (uint256 bucket = 0; bucket < 128; ++bucket) {
            uint256 below = total - revealed;
            for (uint256 i = 0; i < voters.length; ++i) {
                BallotFacts storage facts = ballots[id][voters[i]];
                if (facts.state == BallotState.Revealed && facts.bucket <= bucket) below += facts.weight;
            }
            if (2 * below >= total) return bucket;
        }
        revert("no median");
    }

    function feeShare(uint256 weight, uint256 eligible, uint256 revealed) internal view returns (uint256) {
        return revealed == 0 ? 0 : theTerms.submissionFee * weight / GhostMath.larger(eligible, revealed);
    }

    /// @return locked wei of a model's fee that are not credited yet.
    function feesLockedFor(uint256 id) private view returns (uint256 locked) {
        ModelFacts storage facts = models[id];
        return facts.outcome == Phase.None ? theTerms.submissionFee : facts.feesKept - facts.feesTaken;
    }

    function owed(uint256 id) internal view returns (uint256) {
        uint256 perStep = 0;
        for (uint256 i = models[id].sharesTaken; i < shares.length; ++i) {
            perStep += shares[i].perStep;
        }
        return models[id].advance * perStep / 1e18;
    }

    function currentPhase(uint256 id) internal view returns (Phase) {
        ModelFacts storage facts = models[id];
        if (facts.outcome != Phase.None) return facts.outcome;
        if (block.timestamp < facts.opensAt) return Phase.Voting;
        uint256 deadline = facts.submittedAt + theTerms.commitWindow + theTerms.revealWindow;
        return openBallotsOf(id) != 0 && block.timestamp < deadline ? Phase.Revealing : Phase.Due;
    }

    /// @return steps that the pool would pay for now: 64, less what was paid for and has not run off at a step every `step`
    /// seconds.
    function payable_() internal view returns (uint256) {
        if (theTerms.pace == 0) return 64;
        uint256 step = (uint256(theTerms.pace) + 63) / 64;
        uint256 used = 0;
        uint256 last = 0;
        for (uint256 i = 0; i < advances.length; ++i) {
            uint256 idle = advances[i].time - last;
            used = (used > idle ? used - idle : 0) + advances[i].paid * step;
            last = advances[i].time;
        }
        uint256 since = block.timestamp - last;
        used = used > since ? used - since : 0;
        return (64 * step - used) / step;
    }

    function isChampion(uint32 id) external view returns (bool) {
        return models[id].advance != 0;
    }

    // ------------------------------------------------------------------------------------------------------- views

    function terms() external view returns (Terms memory) {
        return theTerms;
    }

    function node(address account) external view returns (Node memory) {
        NodeFacts storage facts = nodes[account];
        return Node({
            role: facts.role,
            stake: uint128(facts.stake),
            joinedAt: uint40(facts.joinedAt),
            exitAt: uint40(facts.exitAt),
            openCommits: uint32(openCommitsOf(account)),
            retired: facts.retired
        });
    }

    function model(uint32 id) external view returns (Model memory seen) {
        seen.phase = phase(id);
        ModelFacts storage facts = models[id];
        seen.author = facts.author;
        seen.bundle = facts.bundle;
        seen.parent = facts.parent;
        seen.baseline = facts.baseline;
        seen.submittedAt = uint40(facts.submittedAt);
        seen.revealsOpenAt = uint40(facts.opensAt);
        seen.eligibleWeight = uint64(facts.eligible);
        seen.committedWeight = uint64(committedOf(id));
        seen.revealedWeight = uint64(revealedOf(id));
        seen.gain = int16(facts.gain);
        seen.level = int32(facts.level);
        seen.payout = uint128(facts.payout);
        seen.advance = uint8(facts.advance);
    }

    function ballot(uint32 id, address voter) external view returns (Ballot memory) {
        BallotFacts storage facts = ballots[id][voter];
        return Ballot(facts.commitment, uint64(facts.weight), facts.state);
    }

    function histogram(uint32 id) external view returns (uint32[128] memory weights) {
        if (id >= models.length) return weights;
        address[] storage voters = models[id].voters;
        for (uint256 i = 0; i < voters.length; ++i) {
            BallotFacts storage facts = ballots[id][voters[i]];
            if (facts.state == BallotState.Revealed) weights[facts.bucket] += uint32(facts.weight);
        }
    }

    function modelCount() public view returns (uint32) {
        return uint32(models.length - 1);
    }

    function champion() external view returns (uint32) {
        return theChampion;
    }

    function frontier() public view returns (int32) {
        return int32(models[theChampion].level);
    }

    function pool() external view returns (uint256) {
        return thePool;
    }

    function credit(address account) external view returns (uint256) {
        return credits[account];
    }

    function payee(address account) public view returns (address) {
        return payees[account] == address(0) ? account : payees[account];
    }

    function payableSteps() external view returns (uint8) {
        return uint8(payable_());
    }

    function opensAt() public view returns (uint40) {
        return uint40(models[0].submittedAt + theTerms.enrolment);
    }

    function activeWeight() external view returns (uint64) {
        return uint64(sumOfWeights());
    }

    function phase(uint32 id) public view returns (Phase) {
        if (id >= models.length) revert UnknownModel(id);
        return currentPhase(id);
    }

    function nextToSettle() external view returns (uint32) {
        return next;
    }

    function ledger() public view returns (Ledger memory books) {
        for (uint256 i = 0; i < people.length; ++i) {
            books.stakes += nodes[people[i]].stake;
            books.credits += credits[people[i]];
        }
        books.pool = thePool;
        for (uint256 id = 1; id < models.length; ++id) {
            books.lockedFees += feesLockedFor(id);
        }
        for (uint256 i = 0; i < shares.length; ++i) {
            books.lockedRoyalties += shares[i].amount;
        }
        books.lockedRoyalties -= royaltiesClaimed;
    }

    function voteCommitment(uint32 id, address voter, Score calldata score, bytes32 salt) public view returns (bytes32) {
        if (id >= models.length) return 0;
        uint32 baseline = models[id].baseline;
        return keccak256(
            abi.encode(
                block.chainid, REAL, id, baseline, voter, score.qn, score.baselineQn, score.memorized, salt
            )
        );
    }
}
