// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IPDFed} from "./IPDFed.sol";

/// @title PDFedUse: income from the use of a federation's models
/// @notice Buyers pay for licences or for single uses of a model, and whoever made it better than the genesis shares what they
/// pay. Buyers' money lies here, never beside the stakes of `IPDFed`; a task can have several such contracts, or none. It has
/// no owner and no upgrade.
///
/// Who gets a payment P for model m: `poolShare` of it, rounded down, goes to the task's pool. The rest R is shared by the
/// champions whose level is at most level(m), m included, by the steps that each advanced the frontier, and by the genesis,
/// which counts as `genesisSteps` steps of `genesisPayee`. As a champion's level is the sum of the advances up to it, champion i
/// gets R · advance(i) / (level(m) + genesisSteps). All of R goes to the author of a model that was settled and is not a
/// champion. Money for a model that is not settled waits until it is, so that what is paid early is shared like what is paid
/// late. Neither parents nor votes nor the order of claims move any of it.
///
/// Receipts are ERC-1155 tokens that can't be transferred: the token's id is the model's, the balance of an account the units
/// that were bought for it. Every purchase also has a number, under which price and licence stay readable for good.
///
/// Warning: the contract sells a promise of the model's author, under a text of which it knows the digest only. It can't
/// enforce the licence, and does not check that the author may give it. What it pays into the pool is the pool's: after the
/// task's sunset the sponsor can have it.
///
/// Units: money is in wei, levels and advances are in steps of 1/64 halving of Q-N, `poolShare` is in basis points (1/10000).
/// @custom:security-contact see SECURITY.md
interface IPDFedUse {
    // ------------------------------------------------------------------------------------------------------- types

    /// @notice What a unit of a model's use costs; all zero if it was never offered.
    struct Offer {
        /// wei per unit; 0: not for sale
        uint128 price;
        /// digest of the licence's text
        bytes32 licence;
    }

    /// @notice A purchase, as it was made.
    struct Receipt {
        /// the model
        uint32 id;
        /// whom the licence was bought for
        address to;
        uint32 units;
        /// wei per unit
        uint128 price;
        /// digest of the licence's text
        bytes32 licence;
    }

    /// @notice What was paid for the use of a model, without the pool's part. Both in wei, summed up over time; their
    /// difference is locked: paid, not yet claimed. It includes less than one wei for each who shares, for good.
    struct Income {
        uint128 paid;
        uint128 claimed;
    }

    /// @notice Split of the contract's balance by owner, in wei: the three sum up to the balance, exactly (apart from ETH
    /// forced in by a selfdestruct).
    struct UseLedger {
        /// can be withdrawn
        uint256 credits;
        /// goes to the task's pool with `forward`
        uint256 owedToPool;
        /// of all models: paid, not yet claimed
        uint256 locked;
    }

    // ------------------------------------------------------------------------------------------------------ events

    /// @notice A model's price and licence were set.
    /// @param price wei per unit; 0: not for sale.
    /// @param licence digest of its text.
    event Offered(uint32 indexed id, address indexed author, uint128 price, bytes32 licence);
    /// @notice A licence was bought.
    /// @param receipt number of the purchase, from 1.
    /// @param to whom it was bought for.
    /// @param price wei per unit.
    /// @param licence digest of its text.
    event Licensed(
        uint256 indexed receipt, uint32 indexed id, address indexed to, uint32 units, uint128 price, bytes32 licence
    );
    /// @notice Somebody paid for the use of a model.
    /// @param amount wei.
    /// @param memo the payer's own; by convention the root of the manifests of the pictures made with it.
    event Used(uint32 indexed id, address indexed payer, uint256 amount, bytes32 memo);
    /// @notice A champion's share of what was paid for a model was credited to its author.
    /// @param amount wei.
    event Claimed(uint32 indexed champion, uint32 indexed used, address indexed author, uint256 amount);
    /// @notice The pool's part was paid into the task's pool.
    /// @param amount wei.
    event Forwarded(uint256 amount);
    /// @notice An account's whole credit was paid.
    /// @param amount wei.
    event Withdrawn(address indexed account, address indexed to, uint256 amount);

    // ------------------------------------------------------------------------------------------------------ errors

    /// @notice A term is out of bounds.
    /// @param field its name in the constructor.
    error InvalidTerms(string field);
    /// @notice A call that must bring ETH brought none.
    error NothingSent();
    /// @notice The contract's balance would be too large.
    /// @param balance wei with this call.
    /// @param limit wei.
    error BalanceLimit(uint256 balance, uint256 limit);

    /// @notice The task has no such model. Its contract reverts with this.
    error UnknownModel(uint32 id);
    /// @notice Only a model's author offers it; of the genesis, `genesisPayee`.
    error NotAuthor(uint32 id, address author);
    /// @notice A price needs the digest of a licence's text.
    error NoLicence(uint32 id);
    /// @notice The model has no price.
    error NotForSale(uint32 id);
    /// @notice The licence is not the one that the buyer means.
    /// @param current digest of the licence in force.
    error LicenceChanged(bytes32 current);
    /// @notice The value sent is not price · units. Both in wei.
    error WrongPrice(uint256 sent, uint256 required);
    /// @notice Receipts stay with whom they were bought for.
    error NotTransferable();
    /// @notice No purchase has this number.
    /// @param count purchases so far.
    error UnknownReceipt(uint256 number, uint256 count);

    /// @notice The model is not settled: it is not known yet who shares what was paid for it.
    error NotSettled(uint32 id);
    /// @notice The model is not a champion: it shares nothing but what was paid for itself, and with nobody.
    error NotChampion(uint32 id);
    /// @notice The champion came after the used model, so the use owes it nothing.
    error NotBefore(uint32 champion, uint32 used);
    /// @notice All that the named models owe the champion was claimed.
    error NothingToClaim(uint32 champion);
    /// @notice Nothing is owed to the pool.
    error NothingToForward();
    error NothingToWithdraw(address account);
    error InvalidRecipient(address to);
    /// @notice The caller does not act for the account.
    /// @param payee the account's payee in force.
    error NotPayee(address account, address payee);
    /// @notice The recipient refused the payment.
    /// @param amount wei, still the account's credit.
    error WithdrawFailed(address to, uint256 amount);

    // ------------------------------------------------------------------------------------------------------ buying

    /// @notice Sets the price and the licence of a model, for purchases to come. Receipts keep theirs. Only the model's
    /// author may call it, at any time from the submission.
    /// @param id the model; 0: the genesis, by `genesisPayee`.
    /// @param price wei per unit; 0: not for sale.
    /// @param licence digest of the text; not 0 if there is a price. What a unit is (a year, a work, a seat) is for the text.
    function offer(uint32 id, uint128 price, bytes32 licence) external;

    /// @notice Buys units of a licence, and mints as many receipts. The value is price · units, exactly, so a price that
    /// changed before the purchase was mined reverts; so does another licence. The guard against reentrancy is held while a
    /// receiving contract accepts the receipts.
    /// @param id the model.
    /// @param units at least 1.
    /// @param licence digest of the text that the buyer agreed to; the licence in force.
    /// @param to whom the licence is for; a contract must accept ERC-1155.
    /// @return receipt number of the purchase.
    function buy(uint32 id, uint32 units, bytes32 licence, address to) external payable returns (uint256 receipt);

    /// @notice Pays for the use of a model without a licence: a tip, or per generation. Any value but 0, for any model.
    /// @param id the model; 0: the genesis.
    /// @param memo the payer's own; by convention the root of the manifests of the pictures made with it, or 0.
    function use(uint32 id, bytes32 memo) external payable;

    // ------------------------------------------------------------------------------------------------------- money

    /// @notice Credits a champion's author with its shares of what was paid for models, less what it claimed before: in
    /// whatever order and however often it is called, paid · advance / (level + genesisSteps) in all, rounded down. Anyone may
    /// call it.
    /// @param champion whose share; 0: the genesis. A model that is not a champion gets what was paid for itself.
    /// @param used the models; one bad id reverts all, one that owes nothing does not.
    function claim(uint32 champion, uint32[] calldata used) external;

    /// @notice Pays what is owed to the pool into it, with `IPDFed.fund`. Anyone may call it.
    function forward() external;

    /// @notice Pays an account's whole credit. Only its payee may call it: the one that `IPDFed.setPayee` chose for the
    /// account, at first the account itself.
    /// @param account whose credit.
    /// @param to the recipient; one that refuses the payment blocks only this call.
    function withdraw(address account, address to) external;

    // ------------------------------------------------------------------------------------------------------- views

    /// @return the task.
    function fed() external view returns (IPDFed);

    /// @return basis points of every payment that go to the task's pool.
    function poolShare() external view returns (uint16);

    /// @return steps that the genesis counts for.
    function genesisSteps() external view returns (uint16);

    /// @return account that the share of the genesis is credited to.
    function genesisPayee() external view returns (address);

    /// @return price and licence in force; zeros if the model was never offered.
    function offerOf(uint32 id) external view returns (Offer memory);

    /// @return a purchase; reverts `UnknownReceipt`.
    function receiptOf(uint256 number) external view returns (Receipt memory);

    /// @return number of purchases, which is also the newest receipt's.
    function receiptCount() external view returns (uint256);

    /// @return what was paid for a model and claimed of it; zeros for an unknown one.
    function incomeOf(uint32 id) external view returns (Income memory);

    /// @return wei that a champion has claimed of what was paid for a model.
    function claimedBy(uint32 champion, uint32 used) external view returns (uint256);

    /// @return wei that `claim` would credit for one used model; reverts as `claim` does, but for `NothingToClaim`.
    function claimable(uint32 champion, uint32 used) external view returns (uint256);

    /// @return wei that an account can withdraw.
    function credit(address account) external view returns (uint256);

    /// @return the split of the balance by owner.
    function useLedger() external view returns (UseLedger memory);
}
